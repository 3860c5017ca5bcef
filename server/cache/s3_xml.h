// SPDX-License-Identifier: GPL-3.0-or-later
// The little XML that S3 speaks: elements and text. Pure. Strict: attributes are checked and dropped;
// document types, CDATA, comments and unknown entities are refused, as no S3 server sends them. Errors:
// Corrupt.
#pragma once

#include "shared/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache {

struct XmlElement {
    std::string name;
    std::string text; // of an element without children
    std::vector<XmlElement> children = {};

    // The first child of that name; null when there is none.
    [[nodiscard]] const XmlElement* child(std::string_view childName) const;
    // Its text; empty when there is none.
    [[nodiscard]] std::string textOf(std::string_view childName) const;
};

// The root element. Blanks before the declaration are allowed: S3 sends them while a long request is under
// way.
[[nodiscard]] Result<XmlElement> parseXml(std::string_view text);
[[nodiscard]] std::string escapeXml(std::string_view text);

} // namespace penstock::cache
