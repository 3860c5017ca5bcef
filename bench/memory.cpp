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

namespace penstock::bench {

std::int64_t bytesInUse()
{
    return g_bytes;
}

} // namespace penstock::bench
