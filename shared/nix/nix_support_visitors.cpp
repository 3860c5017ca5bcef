// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nix_support.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kFolder = "nix-support/";
constexpr std::string_view kProducts = "nix-support/hydra-build-products";
constexpr std::string_view kMetrics = "nix-support/hydra-metrics";
constexpr std::string_view kReleaseName = "nix-support/hydra-release-name";
constexpr std::string_view kFailed = "nix-support/failed";

} // namespace

std::optional<std::string>* SupportFilesVisitor::contentFor(std::string_view path)
{
    if (path == kProducts)
        return &m_files.products;
    if (path == kMetrics)
        return &m_files.metrics;
    return path == kReleaseName ? &m_files.releaseName : nullptr;
}

void SupportFilesVisitor::noteOther(std::string_view path, std::string_view kind)
{
    m_files.failed = m_files.failed || path == kFailed;
    if (contentFor(path) != nullptr)
        m_files.notes.add(fmt::format("{} is a {}; only a regular file counts", path, kind));
}

Result<void> SupportFilesVisitor::onDirectory(std::string_view path)
{
    m_files.isDirectory = true; // the root comes first
    noteOther(path, "directory");
    return {};
}

Result<void> SupportFilesVisitor::onSymlink(std::string_view path, std::string_view)
{
    noteOther(path, "link");
    if (path == kFolder.substr(0, kFolder.size() - 1))
        m_files.notes.add("nix-support is a link; only a directory counts");
    return {};
}

Result<void> SupportFilesVisitor::onFile(std::string_view path, const NarFile& file)
{
    m_open = nullptr;
    if (!path.starts_with(kFolder))
        return {};
    m_files.failed = m_files.failed || path == kFailed;
    std::optional<std::string>* content = contentFor(path);
    if (content == nullptr)
        return {};
    m_files.hasProducts = m_files.hasProducts || path == kProducts;
    if (file.size > m_maxFile)
        m_files.notes.add(fmt::format("{} has {} bytes; the limit is {}", path, file.size, m_maxFile));
    else
        m_open = &content->emplace();
    return {};
}

Result<void> SupportFilesVisitor::onContent(std::string_view bytes)
{
    if (m_open != nullptr)
        m_open->append(bytes);
    return {};
}

Result<void> SupportFilesVisitor::onFileEnd()
{
    m_open = nullptr;
    return {};
}

ProductVisitor::ProductVisitor(const StorePath& output, NixSupport& support)
{
    for (BuildProduct& product : support.products)
        if (product.output == output && !product.kind)
            m_wanted.emplace(product.relativePath, &product);
}

std::vector<BuildProduct*> ProductVisitor::productsAt(std::string_view path, ProductKind kind)
{
    std::vector<BuildProduct*> products;
    const auto [first, last] = m_wanted.equal_range(path);
    for (auto it = first; it != last; ++it) {
        it->second->kind = kind;
        products.push_back(it->second);
    }
    return products;
}

Result<void> ProductVisitor::onDirectory(std::string_view path)
{
    productsAt(path, ProductKind::Directory);
    return {};
}

Result<void> ProductVisitor::onSymlink(std::string_view path, std::string_view)
{
    productsAt(path, ProductKind::Symlink);
    return {};
}

Result<void> ProductVisitor::onFile(std::string_view path, const NarFile&)
{
    m_open = productsAt(path, ProductKind::File);
    if (!m_open.empty())
        m_hasher.emplace();
    return {};
}

Result<void> ProductVisitor::onContent(std::string_view bytes)
{
    if (m_hasher)
        m_hasher->update(bytes);
    return {};
}

Result<void> ProductVisitor::onFileEnd()
{
    if (!m_hasher)
        return {};
    const std::uint64_t size = m_hasher->byteCount();
    const Hash hash = std::move(*m_hasher).finish();
    m_hasher.reset();
    for (BuildProduct* product : m_open) {
        product->size = size;
        product->sha256 = hash;
    }
    m_open.clear();
    return {};
}

void dropUnseen(NixSupport& support)
{
    std::erase_if(support.products, [&support](const BuildProduct& product) {
        if (product.kind)
            return false;
        support.notes.add(
            fmt::format("'{}/{}' is not in the output", product.output.baseName(), product.relativePath));
        return true;
    });
}

} // namespace penstock::nix
