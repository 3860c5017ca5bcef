// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/memory.h"

#include <cstdlib>
#include <malloc.h>
#include <new>

namespace {

std::int64_t g_bytes = 0;

void* counted(std::size_t size)
{
    void* memory = std::malloc(size);
    if (memory == nullptr)
        std::abort();
    g_bytes += static_cast<std::int64_t>(malloc_usable_size(memory)) + 8;
    return memory;
}

void* countedAligned(std::size_t size, std::align_val_t alignment)
{
    const auto unit = static_cast<std::size_t>(alignment);
    void* memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
    if (memory == nullptr)
        std::abort();
    g_bytes += static_cast<std::int64_t>(malloc_usable_size(memory)) + 8;
    return memory;
}

void release(void* memory) noexcept
{
    if (memory == nullptr)
        return;
    g_bytes -= static_cast<std::int64_t>(malloc_usable_size(memory)) + 8;
    std::free(memory);
}

} // namespace

void* operator new(std::size_t size)
{
    return counted(size);
}
void operator delete(void* memory) noexcept
{
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept
{
    release(memory);
}

void* operator new(std::size_t size, std::align_val_t alignment)
{
    return countedAligned(size, alignment);
}
void operator delete(void* memory, std::align_val_t) noexcept
{
    release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept
{
    release(memory);
}

namespace penstock::bench {

std::int64_t bytesInUse()
{
    return g_bytes;
}

} // namespace penstock::bench
