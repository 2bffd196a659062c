/* An interpreter of Python's pickle format that only makes plain values.
 *
 * A pickle is a program for a stack machine, which in Python may import and call anything. Here it can do nothing but put
 * numbers, texts, tuples, lists and dictionaries together: it has only the instructions that writers use for such values,
 * and whatever a pickle names or calls is passed to functions of the caller, who knows a list of names. Everything else is
 * refused by name. Values are never copied deeply, nor walked here, so neither depth nor cycles nor repeated use of a value
 * cost more than the bytes of the pickle.
 * Source: the opcodes and their meaning in CPython's Lib/pickletools.py, protocols 2 to 5. */
#ifndef TN_STORE_PICKLE_H
#define TN_STORE_PICKLE_H

#include "base/status.h"

#include <stdint.h>

typedef enum tn_pickle_kind {
    TN_PICKLE_NONE,
    TN_PICKLE_BOOL,   /* number: 0 or 1                                                             */
    TN_PICKLE_INT,    /* number                                                                     */
    TN_PICKLE_FLOAT,
    TN_PICKLE_TEXT,   /* text [length] in the pickle, not terminated; any bytes                     */
    TN_PICKLE_TUPLE,  /* node                                                                       */
    TN_PICKLE_LIST,   /* node                                                                       */
    TN_PICKLE_DICT,   /* node; its items are keys and values in turn, and a key may be there twice  */
    TN_PICKLE_GLOBAL, /* number of a name, as `find` of the caller gives it                         */
    TN_PICKLE_OBJECT, /* number of an object of the caller                                          */
    TN_PICKLE_MARK    /* internal                                                                   */
} tn_pickle_kind;

typedef struct tn_pickle_node tn_pickle_node;

typedef struct tn_pickle_value {
    tn_pickle_kind kind;
    union {
        int64_t number;
        double real;
        const char *text;
        tn_pickle_node *node;
    };
    size_t length;
} tn_pickle_value;

struct tn_pickle_node {
    tn_pickle_node *next;   /* of all nodes    */
    tn_pickle_value *items; /* [count]         */
    size_t count;
};

/* Numbers of names that the interpreter itself calls. */
enum {
    TN_PICKLE_MAKES_DICT = -1, /* without arguments, a dictionary               */
    TN_PICKLE_MAKES_TUPLE = -2 /* of one argument, a tuple, that tuple          */
};

/* The functions of the caller. */
typedef struct tn_pickle_host {
    void *user;
    /* The number of the name `name` in the module `module`, both terminated. Errors: those of names that are not on the list. */
    tenebra_code (*find)(void *user, const char *module, const char *name, int64_t *number, tenebra_error *error);
    /* The result of calling a name, whose number is not negative, with arguments [count]. */
    tenebra_code (*call)(void *user, int64_t number, const tn_pickle_value *arguments, size_t count, tn_pickle_value *result,
                         tenebra_error *error);
    /* The object that is called `id` outside of the pickle. */
    tenebra_code (*persistent)(void *user, const tn_pickle_value *id, tn_pickle_value *result, tenebra_error *error);
} tn_pickle_host;

/* The values of one pickle; a zeroed record is empty. */
typedef struct tn_pickle {
    tn_pickle_value result;
    tn_pickle_node *nodes;
} tn_pickle;

/* Limits, of the pickle, and of the values on the stack and of the containers. A tensor takes some 150 bytes and five containers. */
enum { TN_PICKLE_BYTES_MAX = 32 << 20, TN_PICKLE_VALUES_MAX = 1 << 22 };

/* Reads the pickle in bytes [size], which must stay unchanged while the values are used. `name` is for error records. The record
 * must also be closed after a failure. Errors: FORMAT, UNSUPPORTED (an instruction that is not on the list), LIMIT, MEMORY,
 * those of the host. */
tenebra_code tn_pickle_read(tn_pickle *pickle, const unsigned char *bytes, size_t size, const char *name, const tn_pickle_host *host,
                            tenebra_error *error);
void tn_pickle_close(tn_pickle *pickle);

/* Whether a value is this text. */
bool tn_pickle_is_text(const tn_pickle_value *value, const char *text);

#endif
