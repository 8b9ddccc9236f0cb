/*
 * Instructions of x86-64 as bytes: what the code of elementwise programs (jit.c) is made of.
 * Intel's manual (volume 2, chapter 2) describes VEX, the prefix of AVX.
 *
 * A place is a register of eight floats, eight floats of a stream at its pointer + RAX, eight equal
 * numbers at RDX + offset, or eight equal constants, which stand in front of the code.
 */
#ifndef WF_JIT_X86_H
#define WF_JIT_X86_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { JIT_WIDTH = 8, JIT_BYTES = 32, JIT_START = 3072, JIT_ROOM = 8192 };

/* General registers by their numbers. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* T0 and T1 belong to whoever makes one instruction of a program; values live in those below. */
enum { T0 = 14, T1 = 15 };

typedef struct place {
    enum { IN_REGISTER, IN_STREAM, IN_NUMBERS, IN_CONSTANTS } kind;
    int n; /* register of floats, general register of the pointer, offset, offset in the buffer */
} place;

/* Immediate byte, map of opcodes (1: 0F, 2: 0F38, 3: 0F3A), prefix (1: 66), opcode. */
typedef enum jit_op {
    LOAD = 0x1010,
    STORE = 0x1011,
    SQRT = 0x1051,
    AND = 0x1054,
    OR = 0x1056,
    XOR = 0x1057,
    ADD = 0x1058,
    MUL = 0x1059,
    SUB = 0x105c,
    MIN = 0x105d,
    DIV = 0x105e,
    MAX = 0x105f,
    FMA = 0x21b8,             /* y = a x + y */
    PICK = T1 << 20 | 0x314a, /* y = T1 ? x : a, by sign bits */
    EQUAL = 0x0010c2,         /* all ones or zeros; zeros where either is NaN */
    LESS = 0x1110c2,
    LESS_EQUAL = 0x1210c2,
    UNEQUAL = 0x0c10c2,
} jit_op;

typedef struct jit_buffer {
    uint8_t byte[JIT_ROOM];
    int first, end; /* constants grow down from JIT_START, code grows up */
    bool is_full;
} jit_buffer;

static inline void jit_byte(jit_buffer *b, unsigned byte)
{
    if (b->end == JIT_ROOM)
        b->is_full = true;
    else
        b->byte[b->end++] = (uint8_t)byte;
}

static inline void jit_bytes(jit_buffer *b, int n, const uint8_t bytes[])
{
    for (int i = 0; i < n; i++) jit_byte(b, bytes[i]);
}

static inline void jit_int32(jit_buffer *b, int x)
{
    for (int i = 0; i < 32; i += 8) jit_byte(b, (unsigned)x >> i);
}

/* y = a (op) x; what has one operand has x alone. STORE writes y to x. */
static inline void jit_vex(jit_buffer *b, jit_op op, int y, int a, place x)
{
    unsigned code = (unsigned)op, map = code >> 12 & 3, prefix = code >> 8 & 3, reg = (unsigned)y;
    bool has_byte = map == 3 || (code & 0xff) == 0xc2;
    bool is_high = (x.kind == IN_REGISTER || x.kind == IN_STREAM) && x.n >= 8;
    jit_byte(b, 0xc4);
    jit_byte(b, (reg < 8 ? 0x80 : 0) | 0x40 | (is_high ? 0 : 0x20) | map);
    jit_byte(b, (~(unsigned)a & 15) << 3 | 4 | prefix);
    jit_byte(b, code & 0xff);
    reg = (reg & 7) << 3;
    switch (x.kind) {
    case IN_REGISTER:
        jit_byte(b, 0xc0 | reg | ((unsigned)x.n & 7));
        break;
    case IN_STREAM: /* an offset of one byte, 0: RBP and R13 cannot do without */
        jit_byte(b, 0x44 | reg);
        jit_byte(b, RAX << 3 | ((unsigned)x.n & 7));
        jit_byte(b, 0);
        break;
    case IN_NUMBERS:
        jit_byte(b, 0x80 | reg | RDX);
        jit_int32(b, x.n);
        break;
    case IN_CONSTANTS: /* counted from the end of the instruction */
        jit_byte(b, 5 | reg);
        jit_int32(b, x.n - (b->end + 4 + has_byte));
        break;
    }
    if (has_byte) jit_byte(b, code >> 16);
}

/* The constant of these bits. */
static inline place jit_constant(jit_buffer *b, uint32_t bits)
{
    uint32_t all[JIT_WIDTH];
    for (int i = 0; i < JIT_WIDTH; i++) all[i] = bits;
    for (int at = b->first; at < JIT_START; at += JIT_BYTES)
        if (!memcmp(b->byte + at, all, sizeof all)) return (place){IN_CONSTANTS, at};
    b->is_full |= b->first < JIT_BYTES;
    if (!b->is_full) memcpy(b->byte + (b->first -= JIT_BYTES), all, sizeof all);
    return (place){IN_CONSTANTS, b->first};
}

/* mov pointer, [RSI + 8 i] */
static inline void jit_pointer(jit_buffer *b, int pointer, int i)
{
    jit_bytes(b, 4,
              (uint8_t[]){(uint8_t)(pointer < 8 ? 0x48 : 0x4c), 0x8b,
                          (uint8_t)(0x40 | (pointer & 7) << 3 | RSI), (uint8_t)(8 * i)});
}

/* push or pop */
static inline void jit_stack(jit_buffer *b, bool pops, int r)
{
    if (r >= 8) jit_byte(b, 0x41);
    jit_byte(b, (pops ? 0x58u : 0x50u) | ((unsigned)r & 7));
}

#endif
