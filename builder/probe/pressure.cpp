// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/pressure.h"

#include "shared/base/text.h"

namespace penstock::builder {
namespace {

struct Line {
    double avg10 = 0;
    double avg60 = 0;
    double avg300 = 0;
    std::uint64_t total = 0;
};

bool parseField(std::string_view field, Line& to)
{
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos)
        return false;
    const std::string_view name = field.substr(0, equals);
    const std::string_view text = field.substr(equals + 1);
    if (name == "total") {
        const auto value = parseUnsigned(text);
        to.total = value ? *value : 0;
        return value.has_value();
    }
    const auto value = parseDouble(text);
    if (!value || *value < 0)
        return false;
    if (name == "avg10")
        to.avg10 = *value;
    if (name == "avg60")
        to.avg60 = *value;
    if (name == "avg300")
        to.avg300 = *value;
    return true;
}

} // namespace

std::optional<protocol::Pressure> parsePressure(std::string_view text)
{
    protocol::Pressure pressure;
    bool hasSome = false;
    for (const std::string_view row : split(trim(text), '\n')) {
        const auto fields = split(trim(row), ' ');
        if (fields.size() < 2)
            return std::nullopt;
        Line line;
        for (std::size_t i = 1; i < fields.size(); ++i) {
            if (!parseField(fields[i], line))
                return std::nullopt;
        }
        if (fields[0] == "some") {
            hasSome = true;
            pressure.someAvg10 = line.avg10;
            pressure.someAvg60 = line.avg60;
            pressure.someAvg300 = line.avg300;
            pressure.someTotalMicros = line.total;
        } else if (fields[0] == "full") {
            pressure.fullAvg10 = line.avg10;
            pressure.fullAvg60 = line.avg60;
            pressure.fullAvg300 = line.avg300;
            pressure.fullTotalMicros = line.total;
        }
    }
    return hasSome ? std::optional(pressure) : std::nullopt;
}

} // namespace penstock::builder
