/* The sets of x86-64 and their requirements: the processor has the instructions, and the system saves the registers.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapters 14 (AVX, AVX2), 15 (AVX-512)
 * and 18 (AMX). */
#include "kern/sets.h"

#include <cpuid.h>
#include <stdint.h>

/* Registers that the system saves, XCR0: bit 1 SSE, 2 AVX, 5 .. 7 AVX-512, 17 and 18 tiles and their shapes. */
enum { STATE_AVX = 0x06, STATE_AVX512 = 0xE6, STATE_AMX = 0x60000 };

/* XCR0, or 0 if the system does not use XSAVE. */
static uint32_t saved_state(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has_avx2(void)
{
    uint32_t a, b, c, d, a7, b7, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !__get_cpuid_count(7, 0, &a7, &b7, &c7, &d7))
        return false;
    const uint32_t needed = bit_AVX | bit_FMA | bit_F16C;
    return (c & needed) == needed && (b7 & bit_AVX2) && (saved_state() & STATE_AVX) == STATE_AVX;
}

/* Requires AVX2 to be present. */
static bool has_avx512(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    const uint32_t needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    return (b & needed) == needed && (saved_state() & STATE_AVX512) == STATE_AVX512;
}

/* Given AVX-512: its byte products (leaf 7, ECX bit 11) and products of BF16 pairs (leaf 7.1, EAX bit 5). */
static bool has_vnni(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 11 & 1);
}

static bool has_bf16(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

/* Given AVX-512: tiles with products of BF16 pairs and of bytes (leaf 7, EDX bits 24, 22, 25). */
static bool has_amx(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    const uint32_t needed = 1u << 22 | 1u << 24 | 1u << 25;
    return (d & needed) == needed && (saved_state() & STATE_AMX) == STATE_AMX && tn_amx_permitted();
}

/* BLAS ranks below the sets on which it is based: OpenBLAS 0.3.21 measured slower than avx512 for the forward products
 * of a 7B model (165 against 194 GFLOP/s at 400 x 18944 x 3584 in f32, two Zen 4 cores), and a row of its results
 * depends on the other rows. */
size_t tn_kernels_platform(tn_kernels_entry entries[TN_KERNELS_LIMIT])
{
    size_t count = 0;
    bool avx2 = has_avx2(), avx512 = avx2 && has_avx512();
    const tn_kernels *native = avx512 ? &tn_avx512_kernels : avx2 ? &tn_avx2_kernels : &tn_reference_kernels;
    const tn_kernels *blas = tn_kernels_blas_over(native);
    entries[count++] = (tn_kernels_entry){ &tn_reference_kernels, true };
    if (blas != NULL)
        entries[count++] = (tn_kernels_entry){ blas, true };
    entries[count++] = (tn_kernels_entry){ &tn_avx2_kernels, avx2 };
    entries[count++] = (tn_kernels_entry){ &tn_avx512_kernels, avx512 };
    entries[count++] = (tn_kernels_entry){ &tn_avx512vnni_kernels, avx512 && has_vnni() };
    bool bf16 = avx512 && has_vnni() && has_bf16();
    entries[count++] = (tn_kernels_entry){ &tn_avx512bf16_kernels, bf16 };
    entries[count++] = (tn_kernels_entry){ &tn_amx_kernels, bf16 && has_amx() };
    return count;
}
