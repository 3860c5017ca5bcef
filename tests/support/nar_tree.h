// SPDX-License-Identifier: GPL-3.0-or-later
// A NAR as a tree in memory, for tests: read with NarParser, written with NarWriter, in pieces of any size.
#pragma once

#include "shared/nix/nar.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::nix::test {

inline std::string fromHex(std::string_view hex)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size() && hex[i] != '\n'; i += 2)
        bytes.push_back(static_cast<char>(kDigits.find(hex[i]) * 16 + kDigits.find(hex[i + 1])));
    return bytes;
}

// int() and str() of nix-formats 3.1, to write what our writers refuse to.
inline std::string number(std::uint64_t value)
{
    std::string out;
    for (unsigned shift = 0; shift < 64; shift += 8)
        out.push_back(static_cast<char>((value >> shift) & 0xFFU));
    return out;
}
inline std::string str(std::string_view text)
{
    std::string out = number(text.size()).append(text);
    out.resize((out.size() + 7) / 8 * 8, '\0');
    return out;
}
inline std::string strs(const std::vector<std::string>& texts)
{
    std::string out;
    for (const std::string& text : texts)
        out += str(text);
    return out;
}

struct Tree {
    enum class Kind : std::uint8_t { File, Symlink, Directory };
    Kind kind = Kind::Directory;
    bool isExecutable = false;
    std::string text; // content or target
    std::map<std::string, Tree> entries;

    friend bool operator==(const Tree&, const Tree&) = default;
};

inline Tree file(std::string content, bool isExecutable = false)
{
    return {Tree::Kind::File, isExecutable, std::move(content), {}};
}
inline Tree link(std::string target)
{
    return {Tree::Kind::Symlink, false, std::move(target), {}};
}
inline Tree folder(std::map<std::string, Tree> entries = {})
{
    return {Tree::Kind::Directory, false, "", std::move(entries)};
}

inline Result<void> writeTree(NarWriter& writer, const std::string& name, const Tree& tree)
{
    if (tree.kind == Tree::Kind::Symlink)
        return writer.symlink(name, tree.text);
    if (tree.kind == Tree::Kind::File) {
        PENSTOCK_TRY_VOID(writer.beginFile(name, tree.text.size(), tree.isExecutable));
        return writer.content(tree.text);
    }
    PENSTOCK_TRY_VOID(writer.beginDirectory(name));
    for (const auto& [entry, child] : tree.entries)
        PENSTOCK_TRY_VOID(writeTree(writer, entry, child));
    return writer.endDirectory();
}

inline Result<std::string> narOf(const Tree& tree)
{
    std::string out;
    NarWriter writer([&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    });
    PENSTOCK_TRY_VOID(writeTree(writer, "", tree));
    PENSTOCK_TRY_VOID(writer.finish());
    return out;
}

class TreeBuilder final : public NarVisitor {
public:
    [[nodiscard]] const Tree& tree() const { return m_root; }
    [[nodiscard]] const std::vector<std::string>& events() const { return m_events; }

    Result<void> onDirectory(std::string_view path) override
    {
        m_events.push_back("dir " + std::string(path));
        at(path) = folder();
        return {};
    }
    Result<void> onDirectoryEnd(std::string_view path) override
    {
        m_events.push_back("end " + std::string(path));
        return {};
    }
    Result<void> onSymlink(std::string_view path, std::string_view target) override
    {
        m_events.push_back("link " + std::string(path) + " " + std::string(target));
        at(path) = link(std::string(target));
        return {};
    }
    Result<void> onFile(std::string_view path, const NarFile& found) override
    {
        m_events.push_back((found.isExecutable ? "exe " : "file ") + std::string(path) + " " +
                           std::to_string(found.size) + "@" + std::to_string(found.offset));
        m_file = &(at(path) = file("", found.isExecutable));
        return {};
    }
    Result<void> onContent(std::string_view bytes) override
    {
        m_file->text.append(bytes);
        return {};
    }
    Result<void> onFileEnd() override
    {
        m_events.emplace_back("eof");
        return {};
    }

private:
    Tree& at(std::string_view path)
    {
        Tree* tree = &m_root;
        while (!path.empty()) {
            const std::size_t slash = std::min(path.find('/'), path.size());
            tree = &tree->entries[std::string(path.substr(0, slash))];
            path.remove_prefix(std::min(slash + 1, path.size()));
        }
        return *tree;
    }
    Tree m_root;
    Tree* m_file = nullptr;
    std::vector<std::string> m_events;
};

// In pieces of so many bytes; bytes after the archive are an error, as in parseNar.
inline Result<Tree> treeOf(std::string_view archive, std::size_t piece, NarLimits limits = {})
{
    TreeBuilder builder;
    NarParser parser(builder, limits);
    std::size_t taken = 0;
    while (taken < archive.size()) {
        const std::string copy(archive.substr(taken, piece)); // of exact size, for the address sanitizer
        PENSTOCK_TRY(const std::size_t count, parser.push(copy));
        taken += count;
        if (count < copy.size())
            break;
    }
    PENSTOCK_TRY_VOID(parser.finish());
    if (taken != archive.size())
        return fail(ErrorCode::Corrupt, "bytes after the archive");
    return builder.tree();
}

} // namespace penstock::nix::test
