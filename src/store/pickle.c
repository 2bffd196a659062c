#include "store/pickle.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum { PROTOCOL_MAX = 5, NAME_MAX_BYTES = 256 };

/* The instructions that are carried out ... */
enum {
    MARK = '(', STOP = '.', NONE = 'N', BININT = 'J', BININT1 = 'K', BININT2 = 'M', BINFLOAT = 'G', BINUNICODE = 'X',
    SHORT_BINSTRING = 'U', BINSTRING = 'T', SHORT_BINBYTES = 'C', BINBYTES = 'B', EMPTY_TUPLE = ')', TUPLE = 't', EMPTY_LIST = ']',
    APPEND = 'a', APPENDS = 'e', EMPTY_DICT = '}', SETITEM = 's', SETITEMS = 'u', GLOBAL = 'c', REDUCE = 'R', BUILD = 'b',
    BINPERSID = 'Q', BINPUT = 'q', LONG_BINPUT = 'r', BINGET = 'h', LONG_BINGET = 'j',
    PROTO = 0x80, TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87, NEWTRUE = 0x88, NEWFALSE = 0x89, LONG1 = 0x8a, /* protocol 2 */
    SHORT_BINUNICODE = 0x8c, BINUNICODE8 = 0x8d, STACK_GLOBAL = 0x93, MEMOIZE = 0x94, FRAME = 0x95            /* protocol 4 */
};

/* ... and the names of the others. */
static const struct {
    unsigned char code;
    const char *name;
} refused[] = {
    { '0', "POP" }, { '1', "POP_MARK" }, { '2', "DUP" }, { 'F', "FLOAT" }, { 'I', "INT" }, { 'L', "LONG" }, { 'P', "PERSID" },
    { 'S', "STRING" }, { 'V', "UNICODE" }, { 'd', "DICT" }, { 'g', "GET" }, { 'i', "INST" }, { 'l', "LIST" }, { 'o', "OBJ" },
    { 'p', "PUT" }, { 0x81, "NEWOBJ" }, { 0x82, "EXT1" }, { 0x83, "EXT2" }, { 0x84, "EXT4" }, { 0x8b, "LONG4" },
    { 0x8e, "BINBYTES8" }, { 0x8f, "EMPTY_SET" }, { 0x90, "ADDITEMS" }, { 0x91, "FROZENSET" }, { 0x92, "NEWOBJ_EX" },
    { 0x96, "BYTEARRAY8" }, { 0x97, "NEXT_BUFFER" }, { 0x98, "READONLY_BUFFER" },
};

typedef struct machine {
    tn_pickle *pickle;
    const unsigned char *bytes;
    size_t size, at;          /* at: the next byte; of the current instruction: start */
    size_t start;
    tn_pickle_value *stack, *memo;
    size_t depth, known;      /* values on the stack, in the memo */
    size_t nodes;
    const char *name;
    const tn_pickle_host *host;
    tenebra_error *error;
} machine;

static tenebra_code wrong(const machine *m, const char *what)
{
    return tn_fail(m->error, TENEBRA_ERROR_FORMAT, m->name, "the pickle is damaged: %s at byte %zu", what, m->start);
}

static tenebra_code no_memory(const machine *m) { return tn_fail(m->error, TENEBRA_ERROR_MEMORY, m->name, "no memory for its pickle"); }

/* -------------------------------------------------------------- bytes -- */

/* The next `count` bytes. */
static tenebra_code take(machine *m, uint64_t count, const unsigned char **bytes)
{
    *bytes = m->bytes + m->at;
    if (count > m->size - m->at)
        return wrong(m, "it ends within an instruction,");
    m->at += (size_t)count;
    return TENEBRA_OK;
}

static tenebra_code take_number(machine *m, size_t width, uint64_t *value)
{
    const unsigned char *bytes;
    TN_TRY(take(m, width, &bytes));
    *value = 0;
    for (size_t i = width; i-- > 0;)
        *value = *value << 8 | bytes[i];
    return TENEBRA_OK;
}

/* A line without its end. */
static tenebra_code take_line(machine *m, char line[NAME_MAX_BYTES])
{
    const unsigned char *begin = m->bytes + m->at, *end = memchr(begin, '\n', m->size - m->at);
    if (end == NULL || (size_t)(end - begin) >= NAME_MAX_BYTES || memchr(begin, 0, (size_t)(end - begin)) != NULL)
        return wrong(m, "a name that is not one,");
    memcpy(line, begin, (size_t)(end - begin));
    line[end - begin] = '\0';
    m->at += (size_t)(end - begin) + 1;
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- values -- */

static tenebra_code check_limit(const machine *m, size_t count)
{
    if (count >= TN_PICKLE_VALUES_MAX)
        return tn_fail(m->error, TENEBRA_ERROR_LIMIT, m->name, "its pickle makes more than %d values", TN_PICKLE_VALUES_MAX);
    return TENEBRA_OK;
}

static tenebra_code push(machine *m, tn_pickle_value value)
{
    TN_TRY(check_limit(m, m->depth));
    if (TN_GROW(m->stack, m->depth, NULL, NULL) != TENEBRA_OK)
        return no_memory(m);
    m->stack[m->depth++] = value;
    return TENEBRA_OK;
}

static tenebra_code push_number(machine *m, tn_pickle_kind kind, int64_t number)
{
    return push(m, (tn_pickle_value){ .kind = kind, .number = number });
}

/* Whether there are `count` values on top of the stack, none of them a mark. */
static tenebra_code need(const machine *m, size_t count)
{
    bool there = m->depth >= count;
    for (size_t i = 0; there && i < count; i++)
        there = m->stack[m->depth - 1 - i].kind != TN_PICKLE_MARK;
    return there ? TENEBRA_OK : wrong(m, "values are missing on its stack");
}

/* The number of values above the last mark. */
static tenebra_code to_mark(const machine *m, size_t *count)
{
    for (*count = 0; *count < m->depth; ++*count)
        if (m->stack[m->depth - 1 - *count].kind == TN_PICKLE_MARK)
            return TENEBRA_OK;
    return wrong(m, "a mark is missing on its stack");
}

static tenebra_code push_text(machine *m, size_t width)
{
    uint64_t length;
    const unsigned char *bytes;
    TN_TRY(take_number(m, width, &length));
    TN_TRY(take(m, length, &bytes));
    return push(m, (tn_pickle_value){ .kind = TN_PICKLE_TEXT, .text = (const char *)bytes, .length = (size_t)length });
}

static tenebra_code push_float(machine *m)
{
    const unsigned char *bytes;
    uint64_t bits = 0;
    tn_pickle_value value = { .kind = TN_PICKLE_FLOAT };
    TN_TRY(take(m, 8, &bytes));
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    memcpy(&value.real, &bits, sizeof value.real);
    return push(m, value);
}

/* A number in two's complement; none that matters has more than 64 bits. */
static tenebra_code push_long(machine *m)
{
    uint64_t length, value = 0;
    const unsigned char *bytes;
    TN_TRY(take_number(m, 1, &length));
    TN_TRY(take(m, length, &bytes));
    if (length > 8)
        return tn_fail(m->error, TENEBRA_ERROR_LIMIT, m->name, "its pickle has a number of %zu bytes", (size_t)length);
    for (size_t i = (size_t)length; i-- > 0;)
        value = value << 8 | bytes[i];
    if (length > 0 && length < 8 && bytes[length - 1] >= 0x80)
        value |= UINT64_MAX << (8 * length);
    return push_number(m, TN_PICKLE_INT, (int64_t)value);
}

/* ---------------------------------------------------------- containers -- */

/* A container whose items are the last `count` values, which leave the stack together with `below` others. */
static tenebra_code push_node(machine *m, tn_pickle_kind kind, size_t count, size_t below)
{
    TN_TRY(check_limit(m, m->nodes++));
    tn_pickle_node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return no_memory(m);
    node->next = m->pickle->nodes;
    m->pickle->nodes = node;
    for (size_t i = 0; i < count; i++) {
        if (TN_GROW(node->items, node->count, NULL, NULL) != TENEBRA_OK)
            return no_memory(m);
        node->items[node->count++] = m->stack[m->depth - count + i];
    }
    m->depth -= count + below;
    return push(m, (tn_pickle_value){ .kind = kind, .node = node });
}

static tenebra_code push_tuple(machine *m, size_t count)
{
    TN_TRY(need(m, count));
    return push_node(m, TN_PICKLE_TUPLE, count, 0);
}

/* Moves the last `count` values into the container before them, and before `below` marks. */
static tenebra_code add_items(machine *m, tn_pickle_kind kind, size_t count, size_t below)
{
    size_t place = m->depth - count - below;
    if (m->depth < count + below + 1 || m->stack[place - 1].kind != kind)
        return wrong(m, kind == TN_PICKLE_DICT ? "items are set in what is not a dictionary," : "items are added to what is not a list,");
    if (kind == TN_PICKLE_DICT && count % 2 != 0)
        return wrong(m, "a key without a value");
    tn_pickle_node *node = m->stack[place - 1].node;
    for (size_t i = 0; i < count; i++) {
        if (TN_GROW(node->items, node->count, NULL, NULL) != TENEBRA_OK)
            return no_memory(m);
        node->items[node->count++] = m->stack[m->depth - count + i];
    }
    m->depth = place;
    return TENEBRA_OK;
}

static tenebra_code add_some(machine *m, tn_pickle_kind kind, size_t count)
{
    TN_TRY(need(m, count + 1));
    return add_items(m, kind, count, 0);
}

static tenebra_code add_to_mark(machine *m, tn_pickle_kind kind)
{
    size_t count;
    TN_TRY(to_mark(m, &count));
    return add_items(m, kind, count, 1);
}

/* --------------------------------------------------------------- memo -- */

/* Writers number values in the order in which they keep them. */
static tenebra_code keep(machine *m, uint64_t number)
{
    TN_TRY(need(m, 1));
    if (number > m->known)
        return wrong(m, "a value is kept under a number out of order,");
    if (number == m->known) {
        if (TN_GROW(m->memo, m->known, NULL, NULL) != TENEBRA_OK)
            return no_memory(m);
        m->known++;
    }
    m->memo[number] = m->stack[m->depth - 1];
    return TENEBRA_OK;
}

static tenebra_code keep_as(machine *m, size_t width)
{
    uint64_t number;
    TN_TRY(take_number(m, width, &number));
    return keep(m, number);
}

static tenebra_code fetch(machine *m, size_t width)
{
    uint64_t number;
    TN_TRY(take_number(m, width, &number));
    return number < m->known ? push(m, m->memo[number]) : wrong(m, "a value is used that was not kept,");
}

/* ---------------------------------------------------- names and calls -- */

static tenebra_code push_name(machine *m, const char *module, const char *name)
{
    tn_pickle_value value = { .kind = TN_PICKLE_GLOBAL };
    TN_TRY(m->host->find(m->host->user, module, name, &value.number, m->error));
    return push(m, value);
}

static tenebra_code push_lines(machine *m)
{
    char module[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
    TN_TRY(take_line(m, module));
    TN_TRY(take_line(m, name));
    return push_name(m, module, name);
}

static tenebra_code push_stacked_name(machine *m)
{
    char words[2][NAME_MAX_BYTES];
    TN_TRY(need(m, 2));
    for (size_t i = 0; i < 2; i++) {
        const tn_pickle_value *word = &m->stack[m->depth - 2 + i];
        if (word->kind != TN_PICKLE_TEXT || word->length >= NAME_MAX_BYTES || memchr(word->text, 0, word->length) != NULL)
            return wrong(m, "a name that is not one,");
        memcpy(words[i], word->text, word->length);
        words[i][word->length] = '\0';
    }
    m->depth -= 2;
    return push_name(m, words[0], words[1]);
}

static tenebra_code call(machine *m)
{
    TN_TRY(need(m, 2));
    const tn_pickle_value callee = m->stack[m->depth - 2], arguments = m->stack[m->depth - 1];
    if (callee.kind != TN_PICKLE_GLOBAL || arguments.kind != TN_PICKLE_TUPLE)
        return wrong(m, "a call of what is not a name,");
    const tn_pickle_value *items = arguments.node->items;
    size_t count = arguments.node->count;
    m->depth -= 2;
    if (callee.number == TN_PICKLE_MAKES_DICT)
        return count == 0 ? push_node(m, TN_PICKLE_DICT, 0, 0) : wrong(m, "a dictionary made of arguments,");
    if (callee.number == TN_PICKLE_MAKES_TUPLE)
        return count == 1 && items[0].kind == TN_PICKLE_TUPLE ? push(m, items[0]) : wrong(m, "a tuple not made of one,");
    tn_pickle_value result = { 0 };
    TN_TRY(m->host->call(m->host->user, callee.number, items, count, &result, m->error));
    return push(m, result);
}

/* Attributes of a dictionary, as torch puts "_metadata" on a state dict, change none of its items. */
static tenebra_code build(machine *m)
{
    TN_TRY(need(m, 2));
    if (m->stack[m->depth - 2].kind != TN_PICKLE_DICT || m->stack[m->depth - 1].kind != TN_PICKLE_DICT)
        return tn_fail(m->error, TENEBRA_ERROR_UNSUPPORTED, m->name, "its pickle sets attributes of something else than a dictionary "
                       "(instruction BUILD), which is not supported");
    m->depth--;
    return TENEBRA_OK;
}

static tenebra_code resolve(machine *m)
{
    tn_pickle_value result = { 0 };
    TN_TRY(need(m, 1));
    const tn_pickle_value id = m->stack[--m->depth];
    TN_TRY(m->host->persistent(m->host->user, &id, &result, m->error));
    return push(m, result);
}

/* -------------------------------------------------------- instructions -- */

static tenebra_code refuse(const machine *m, unsigned char code)
{
    const char *name = NULL;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].code == code)
            name = refused[i].name;
    if (name == NULL)
        return tn_fail(m->error, TENEBRA_ERROR_FORMAT, m->name, "the pickle is damaged: 0x%02x at byte %zu is no instruction", code,
                       m->start);
    return tn_fail(m->error, TENEBRA_ERROR_UNSUPPORTED, m->name, "its pickle contains the instruction %s (0x%02x at byte %zu), which no "
                   "state dict needs and this program does not carry out", name, code, m->start);
}

static tenebra_code check_protocol(machine *m)
{
    uint64_t protocol;
    TN_TRY(take_number(m, 1, &protocol));
    return protocol <= PROTOCOL_MAX ? TENEBRA_OK
                                    : tn_fail(m->error, TENEBRA_ERROR_UNSUPPORTED, m->name, "its pickle has the protocol %d; up to %d is "
                                              "known", (int)protocol, PROTOCOL_MAX);
}

/* A frame only says how much the reader may read at once. */
static tenebra_code check_frame(machine *m)
{
    uint64_t length;
    TN_TRY(take_number(m, 8, &length));
    return length <= m->size - m->at ? TENEBRA_OK : wrong(m, "a frame that is longer than the pickle,");
}

static tenebra_code push_integer(machine *m, size_t width)
{
    uint64_t value;
    TN_TRY(take_number(m, width, &value));
    return push_number(m, TN_PICKLE_INT, width == 4 ? (int32_t)(uint32_t)value : (int64_t)value);
}

static tenebra_code push_marked_tuple(machine *m)
{
    size_t count;
    TN_TRY(to_mark(m, &count));
    return push_node(m, TN_PICKLE_TUPLE, count, 1);
}

static tenebra_code step(machine *m, unsigned char code)
{
    switch (code) {
    case PROTO: return check_protocol(m);
    case FRAME: return check_frame(m);
    case MARK: return push_number(m, TN_PICKLE_MARK, 0);
    case NONE: return push_number(m, TN_PICKLE_NONE, 0);
    case NEWTRUE: return push_number(m, TN_PICKLE_BOOL, 1);
    case NEWFALSE: return push_number(m, TN_PICKLE_BOOL, 0);
    case BININT: return push_integer(m, 4);
    case BININT1: return push_integer(m, 1);
    case BININT2: return push_integer(m, 2);
    case LONG1: return push_long(m);
    case BINFLOAT: return push_float(m);
    case SHORT_BINUNICODE: case SHORT_BINSTRING: case SHORT_BINBYTES: return push_text(m, 1);
    case BINUNICODE: case BINSTRING: case BINBYTES: return push_text(m, 4);
    case BINUNICODE8: return push_text(m, 8);
    case EMPTY_TUPLE: return push_node(m, TN_PICKLE_TUPLE, 0, 0);
    case EMPTY_LIST: return push_node(m, TN_PICKLE_LIST, 0, 0);
    case EMPTY_DICT: return push_node(m, TN_PICKLE_DICT, 0, 0);
    case TUPLE1: return push_tuple(m, 1);
    case TUPLE2: return push_tuple(m, 2);
    case TUPLE3: return push_tuple(m, 3);
    case TUPLE: return push_marked_tuple(m);
    case APPEND: return add_some(m, TN_PICKLE_LIST, 1);
    case APPENDS: return add_to_mark(m, TN_PICKLE_LIST);
    case SETITEM: return add_some(m, TN_PICKLE_DICT, 2);
    case SETITEMS: return add_to_mark(m, TN_PICKLE_DICT);
    case MEMOIZE: return keep(m, m->known);
    case BINPUT: return keep_as(m, 1);
    case LONG_BINPUT: return keep_as(m, 4);
    case BINGET: return fetch(m, 1);
    case LONG_BINGET: return fetch(m, 4);
    case GLOBAL: return push_lines(m);
    case STACK_GLOBAL: return push_stacked_name(m);
    case REDUCE: return call(m);
    case BUILD: return build(m);
    case BINPERSID: return resolve(m);
    default: return refuse(m, code);
    }
}

static tenebra_code run(machine *m)
{
    for (;;) {
        const unsigned char *code;
        m->start = m->at;
        TN_TRY(take(m, 1, &code));
        if (*code == STOP)
            break;
        TN_TRY(step(m, *code));
    }
    if (m->depth != 1 || m->stack[0].kind == TN_PICKLE_MARK || m->at != m->size)
        return wrong(m, "it does not end with one value");
    m->pickle->result = m->stack[0];
    return TENEBRA_OK;
}

tenebra_code tn_pickle_read(tn_pickle *pickle, const unsigned char *bytes, size_t size, const char *name, const tn_pickle_host *host,
                            tenebra_error *error)
{
    machine m = { .pickle = pickle, .bytes = bytes, .size = size, .name = name, .host = host, .error = error };
    *pickle = (tn_pickle){ 0 };
    if (size > TN_PICKLE_BYTES_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "has a pickle of %zu bytes, more than %d", size, TN_PICKLE_BYTES_MAX);
    tenebra_code code = run(&m);
    free(m.stack);
    free(m.memo);
    return code;
}

void tn_pickle_close(tn_pickle *pickle)
{
    for (tn_pickle_node *node = pickle->nodes, *next; node != NULL; node = next) {
        next = node->next;
        free(node->items);
        free(node);
    }
    *pickle = (tn_pickle){ 0 };
}

bool tn_pickle_is_text(const tn_pickle_value *value, const char *text)
{
    return value->kind == TN_PICKLE_TEXT && value->length == strlen(text) && memcmp(value->text, text, value->length) == 0;
}
