// SPDX-License-Identifier: GPL-3.0-or-later
// What the outputs of a derivation say of themselves: products, metrics, a release name, that the build has failed
// although its builder did not; and what their making took, which is known of a failure, too. Values.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::work {

enum class ProductKind : std::uint8_t { Unknown, File, Directory, Symlink };
[[nodiscard]] std::string_view toString(ProductKind kind);

struct BuildProduct {
    std::string type;
    std::string subtype;
    std::string output; // its name
    std::string path;   // below the output; empty: the output itself
    std::string defaultPath;
    std::string name;
    ProductKind kind = ProductKind::Unknown;
    std::uint64_t size = 0; // of a file
    std::string sha256;     // of a file; hex digits
    friend bool operator==(const BuildProduct&, const BuildProduct&) = default;
};

struct BuildMetric {
    std::string name;
    double value = 0; // finite
    std::string unit;
    friend bool operator==(const BuildMetric&, const BuildMetric&) = default;
};

struct BuildEffort {
    Duration copied{0};              // that inputs and outputs travelled
    std::uint32_t rounds = 0;        // how often it was built to compare the results; 0: it was not
    bool isNondeterministic = false; // they differed
    friend bool operator==(const BuildEffort&, const BuildEffort&) = default;
};

struct BuildResults {
    std::vector<BuildProduct> products;
    std::vector<BuildMetric> metrics;
    std::string releaseName;
    bool failed = false;
    std::uint64_t closureSize = 0; // bytes of all that the outputs need at run time; 0: not known
    BuildEffort effort = {};
    friend bool operator==(const BuildResults&, const BuildResults&) = default;
};

// Attempts are many and copied often; most have no results, and those of the others never change.
class SharedResults {
public:
    SharedResults() = default;
    SharedResults(BuildResults results) // NOLINT(google-explicit-constructor): it is the same value
        : m_results(results == BuildResults{} ? nullptr : std::make_shared<const BuildResults>(std::move(results)))
    {}
    [[nodiscard]] bool isEmpty() const { return m_results == nullptr; }
    [[nodiscard]] const BuildResults& get() const { return m_results == nullptr ? kNone : *m_results; }
    friend bool operator==(const SharedResults& a, const SharedResults& b) { return a.get() == b.get(); }

private:
    static const BuildResults kNone;
    std::shared_ptr<const BuildResults> m_results;
};
inline const BuildResults SharedResults::kNone{};

} // namespace penstock::work
