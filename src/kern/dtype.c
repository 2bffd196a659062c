#include "kern/blocks.h"

#include <stdint.h>
#include <string.h>

/* A binary floating-point format of 16 bits: sign, exponent, mantissa (IEEE 754-2019, section 3.4). */
typedef struct tn_half_format {
    int mantissa_bits;
    int exponent_bits;
} tn_half_format;

static const tn_half_format format_f16 = { 10, 5 };
static const tn_half_format format_bf16 = { 7, 8 };

/* Shifts right by 1 .. 63 and rounds to nearest, ties to even. */
static uint64_t shift_rounded(uint64_t value, int shift)
{
    uint64_t kept = value >> shift;
    uint64_t rest = value & (((uint64_t)1 << shift) - 1);
    uint64_t half = (uint64_t)1 << (shift - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

/* The nearest number of `format`, from a double, which can hold every tn_real, so that both builds round once. A carry
 * out of the mantissa raises the exponent; if it reaches the largest exponent, the result is infinity. */
static uint16_t narrow(double value, tn_half_format format)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int drop = 52 - format.mantissa_bits;
    const int bias = (1 << (format.exponent_bits - 1)) - 1;
    const uint64_t infinity = (((uint64_t)1 << format.exponent_bits) - 1) << format.mantissa_bits;
    const uint16_t sign = (uint16_t)(bits >> 63 << 15);
    const int exponent = (int)(bits >> 52 & 0x7FF) - 1023 + bias;
    const uint64_t mantissa = bits & (((uint64_t)1 << 52) - 1);
    if ((bits >> 52 & 0x7FF) == 0x7FF) {
        uint64_t quiet = mantissa ? (uint64_t)1 << (format.mantissa_bits - 1) | mantissa >> drop : 0;
        return (uint16_t)(sign | infinity | quiet);
    }
    if (exponent >= 1 << format.exponent_bits)
        return (uint16_t)(sign | infinity);
    if (exponent > 0)
        return (uint16_t)(sign | shift_rounded((uint64_t)exponent << 52 | mantissa, drop));
    if (exponent < -format.mantissa_bits)
        return sign; /* less than half of the smallest denormal */
    return (uint16_t)(sign | shift_rounded((uint64_t)1 << 52 | mantissa, drop + 1 - exponent));
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exponent and mantissa, moved into place, read as value * 2^-112 (the biases differ by 127 - 15), for normal and
 * denormal numbers alike; the multiplication is exact. Exponent 31 is infinity or NaN. */
static float widen_f16(uint16_t packed)
{
    uint32_t sign = (uint32_t)(packed & 0x8000u) << 16;
    uint32_t magnitude = (uint32_t)(packed & 0x7FFFu) << 13;
    if (magnitude >= 31u << 23)
        return float_of_bits(sign | magnitude | 0x7F800000u);
    return float_of_bits(sign | magnitude) * 0x1p112f;
}

static float widen_bf16(uint16_t packed)
{
    return float_of_bits((uint32_t)packed << 16);
}

/* Packed values are not aligned, so each is copied out of, or into, its bytes. */
static void unpack_f16(const void *packed, size_t count, tn_real *values)
{
    const unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, bytes + 2 * i, sizeof value);
        values[i] = widen_f16(value);
    }
}

static void unpack_bf16(const void *packed, size_t count, tn_real *values)
{
    const unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, bytes + 2 * i, sizeof value);
        values[i] = widen_bf16(value);
    }
}

static void unpack_f32(const void *packed, size_t count, tn_real *values)
{
    const unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + sizeof value * i, sizeof value);
        values[i] = value;
    }
}

static void unpack_f64(const void *packed, size_t count, tn_real *values)
{
    const unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, bytes + sizeof value * i, sizeof value);
        values[i] = (tn_real)value;
    }
}

static void pack_f16(const tn_real *values, size_t count, void *packed)
{
    unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        uint16_t value = narrow(values[i], format_f16);
        memcpy(bytes + 2 * i, &value, sizeof value);
    }
}

static void pack_bf16(const tn_real *values, size_t count, void *packed)
{
    unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        uint16_t value = narrow(values[i], format_bf16);
        memcpy(bytes + 2 * i, &value, sizeof value);
    }
}

static void pack_f32(const tn_real *values, size_t count, void *packed)
{
    unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        float value = (float)values[i];
        memcpy(bytes + sizeof value * i, &value, sizeof value);
    }
}

static void pack_f64(const tn_real *values, size_t count, void *packed)
{
    unsigned char *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        double value = values[i];
        memcpy(bytes + sizeof value * i, &value, sizeof value);
    }
}

static const tn_dtype_traits traits[TN_DTYPE_COUNT] = {
    [TN_F32] = { .name = "F32", .block = 1, .block_bytes = 4, .unpack = unpack_f32, .pack = pack_f32 },
    [TN_F16] = { .name = "F16", .block = 1, .block_bytes = 2, .unpack = unpack_f16, .pack = pack_f16 },
    [TN_BF16] = { .name = "BF16", .block = 1, .block_bytes = 2, .unpack = unpack_bf16, .pack = pack_bf16, .bits = 16 },
    [TN_F64] = { .name = "F64", .block = 1, .block_bytes = 8, .unpack = unpack_f64, .pack = pack_f64 },
    [TN_Q8_0] = { .name = "Q8_0", .block = TN_BLOCK, .block_bytes = 34, .unpack = tn_unpack_q8_0,
                  .pack = tn_pack_q8_0, .bits = 8, .offset = 128, .eight = TN_Q8_0, .shorter = TN_BF16 },
    [TN_Q4_0] = { .name = "Q4_0", .block = TN_BLOCK, .block_bytes = 18, .unpack = tn_unpack_q4_0,
                  .pack = tn_pack_q4_0, .bits = 4, .offset = 8, .codebook = tn_codebook_q4_0, .eight = TN_Q8_0,
                  .shorter = TN_BF16 },
    [TN_IQ4_NL] = { .name = "IQ4_NL", .block = TN_BLOCK, .block_bytes = 18, .unpack = tn_unpack_iq4_nl,
                    .pack = tn_pack_iq4_nl, .bits = 4, .offset = 128, .codebook = tn_codebook_iq4_nl, .eight = TN_Q8_0,
                    .shorter = TN_BF16 },
    [TN_Q8_256] = { .name = "Q8_256", .block = TN_WIDE_BLOCK, .block_bytes = 260, .unpack = tn_unpack_q8_256,
                    .pack = tn_pack_q8_256, .bits = 8, .offset = 128, .eight = TN_Q8_256, .shorter = TN_Q8_0 },
    [TN_Q4_256] = { .name = "Q4_256", .block = TN_WIDE_BLOCK, .block_bytes = 136, .unpack = tn_unpack_q4_256,
                    .pack = tn_pack_q4_256, .bits = 4, .offset = 15, .codebook = tn_codebook_q4_256, .eight = TN_Q8_256,
                    .shorter = TN_IQ4_NL },
};

const tn_dtype_traits *tn_dtype_of(tn_dtype type)
{
    return &traits[type];
}

size_t tn_dtype_row_bytes(tn_dtype type, size_t columns)
{
    return columns / traits[type].block * traits[type].block_bytes;
}

bool tn_dtype_by_name(const char *name, tn_dtype *type)
{
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        if (strcmp(traits[i].name, name) == 0) {
            *type = (tn_dtype)i;
            return true;
        }
    }
    return false;
}
