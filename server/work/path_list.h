// SPDX-License-Identifier: GPL-3.0-or-later
// PathList: paths in order, each shared with every other list that has it: the derivations of a build name the same
// few outputs again and again. Value; the paths never change, so that lists may be read on several threads.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace penstock::work {

class PathList {
public:
    using Shared = std::shared_ptr<const std::string>; // never null

    class Iterator {
    public:
        using iterator_category = std::forward_iterator_tag;
        using value_type = std::string;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string*;
        using reference = const std::string&;
        Iterator() = default;
        explicit Iterator(const Shared* at) : m_at(at) {}
        reference operator*() const { return **m_at; }
        pointer operator->() const { return m_at->get(); }
        Iterator& operator++()
        {
            ++m_at;
            return *this;
        }
        Iterator operator++(int) { return Iterator(m_at++); }
        friend bool operator==(const Iterator&, const Iterator&) = default;

    private:
        const Shared* m_at = nullptr;
    };
    using value_type = std::string;
    using const_iterator = Iterator;

    PathList() = default;
    PathList(std::initializer_list<std::string> paths)
    {
        for (const std::string& path : paths)
            m_paths.push_back(std::make_shared<const std::string>(path));
    }
    explicit PathList(std::vector<Shared> paths) : m_paths(std::move(paths)) {}
    explicit PathList(std::vector<std::string> paths)
    {
        m_paths.reserve(paths.size());
        for (std::string& path : paths)
            m_paths.push_back(std::make_shared<const std::string>(std::move(path)));
    }

    [[nodiscard]] Iterator begin() const { return Iterator(m_paths.data()); }
    [[nodiscard]] Iterator end() const { return Iterator(m_paths.data() + m_paths.size()); }
    [[nodiscard]] std::size_t size() const { return m_paths.size(); }
    [[nodiscard]] bool empty() const { return m_paths.empty(); }
    friend bool operator==(const PathList& a, const PathList& b)
    {
        return std::equal(a.begin(), a.end(), b.begin(), b.end());
    }

private:
    std::vector<Shared> m_paths;
};

} // namespace penstock::work
