/* The tensors of a network: a table with the name, role, slot in the network's struct and shape of each tensor, and the only
 * loop over them.
 *
 * A network is a struct of weights that begins with a tn_network: the decoder, an image encoder, a method's module. Code that
 * walks over weights (loading, training, adapters, packing, counting) visits the places of a network and looks at roles; names
 * are only for files and messages. */
#ifndef TN_MODEL_LAYOUT_H
#define TN_MODEL_LAYOUT_H

#include "ops/ops.h"

/* The role of a tensor. Matrices come first. */
typedef enum tn_role {
    TN_ROLE_LINEAR,    /* matrix: y = W x                                                                     */
    TN_ROLE_EMBEDDING, /* matrix: one row per token                                                           */
    TN_ROLE_HEAD,      /* matrix: one logit per row; files may lack it if the embedding is also the head      */
    TN_ROLE_PATCHES,   /* matrix: y = W x of a convolution or a codebook, in other programs no linear layer, so adapters do not apply */
    TN_ROLE_BIAS,      /* vector: added to the result of the matrix above it in the table                     */
    TN_ROLE_SCALE,     /* vector: of a norm                                                                   */
    TN_ROLE_SHIFT      /* vector: of the norm above it                                                        */
} tn_role;

static inline bool tn_role_is_matrix(tn_role role) { return role < TN_ROLE_BIAS; }

/* The input of a matrix. */
typedef enum tn_reads {
    TN_READS_ROWS,     /* the result of the rows above   */
    TN_READS_SAME,     /* the input of the matrix above  */
    TN_READS_ATTENTION /* values that attention mixed    */
} tn_reads;

enum {
    TN_LAYOUT_OTHERS = 2, TN_LAYOUT_RANK = 5, TN_LAYOUT_SIZES = 24, TN_LAYOUT_NUMBERS = 4, TN_LAYOUT_GROUPS = 8, TN_PLACE_NAME = 256
};

/* Each network numbers its own sizes from TN_SIZE_OWN on, and those that differ between the members of a group from TN_SIZE_MEMBER on
 * (tn_layout_group.size). */
enum {
    TN_SIZE_NONE, /* ends a list of dimensions                                                     */
    TN_SIZE_FREE, /* size of the vocabulary: that of the tensor in the file; 0 until it is known   */
    TN_SIZE_OWN,
    TN_SIZE_MEMBER = 64
};

/* One tensor, or one for each member of a group. Rows are in the order in which the forward uses them, except those with
 * `last`. */
typedef struct tn_layout_row {
    const char *name;              /* %zu is the member's number, or its numbers                             */
    const char *others[TN_LAYOUT_OTHERS]; /* other names in files; NULL after the last                       */
    tn_role role;
    tn_reads reads;
    bool residual;                 /* the result is added to the residual stream                             */
    bool last;                     /* used after all others, wherever it is in the table                     */
    size_t group;                  /* 0: in the network's struct itself                                      */
    size_t offset;                 /* of the slot (a tn_weight or tn_vector) in the struct of its group      */
    size_t parts;                  /* at least 1: its rows are divided into this many equal blocks, for consecutive slots */
    size_t dims[TN_LAYOUT_RANK];   /* sizes of its dimensions, of one part                                   */
    size_t pooled;                 /* size: number of rows of the network's input for one row here; NONE: one */
} tn_layout_row;

/* The members of a row after its names: role, group, offset, parts, sizes. */
#define TN_LAYOUT_ROW(role_, group_, offset_, parts_, ...) \
    .role = TN_ROLE_##role_, .group = group_, .offset = offset_, .parts = parts_, .dims = { __VA_ARGS__ }

/* An array of equal structs, such as the layers. */
typedef struct tn_network tn_network;

typedef struct tn_layout_group {
    size_t pointer; /* offset of the array's pointer in the network's struct */
    size_t bytes;   /* of a member                                           */
    size_t count;   /* size: the number of members                           */
    size_t inner;   /* size: if names have two numbers, members for each first one; NONE: names have one number */
    /* The sizes from TN_SIZE_MEMBER on of a member, if they differ between members; 0: that member does not have the tensor. */
    size_t (*size)(const tn_network *network, size_t number, size_t which);
} tn_layout_group;

typedef enum tn_network_kind { TN_NETWORK_DECODER, TN_NETWORK_IMAGES, TN_NETWORK_MODULE } tn_network_kind;

typedef struct tn_layout {
    tn_network_kind kind;
    size_t bytes;                             /* of the network's struct        */
    bool discrete;                            /* its results are numbers of entries, which small errors of weights can change */
    tn_layout_group groups[TN_LAYOUT_GROUPS]; /* by number; 0 is not used */
    const tn_layout_row *rows;                /* ends with name == NULL         */
} tn_layout;

/* The first member of every network's struct. */
struct tn_network {
    const tn_layout *layout;
    size_t sizes[TN_LAYOUT_SIZES];
    double numbers[TN_LAYOUT_NUMBERS]; /* other numbers of its configuration, also numbered by the network */
    tn_real *vectors;  /* memory of all its vectors, or NULL                    */
    tn_real *matrices; /* memory of its matrices if they are not in a file, or NULL */
};

/* Allocates, and frees, the memory for the groups and vectors of a network whose layout and sizes are set and whose slots are
 * zero. Errors: MEMORY. */
tenebra_code tn_network_open(tn_network *network, tenebra_error *error);
void tn_network_close(tn_network *network);

/* Members of a group; 1 of group 0. */
size_t tn_network_members(const tn_network *network, size_t group);

/* A size of a member of a group, one of all members, or of that member. */
size_t tn_network_size(const tn_network *network, size_t group, size_t number, size_t size);

/* One tensor of a network. */
typedef struct tn_place {
    tn_network *network;
    const tn_layout_row *row;
    size_t number;                       /* number of the member in its group                              */
    char name[TN_PLACE_NAME];
    void *slot;                          /* tn_weight or tn_vector, row->parts of them                     */
    size_t rank, shape[TN_LAYOUT_RANK];  /* of all parts together                                          */
    size_t rows, cols;                   /* the same as a matrix; of a vector [1, size]                    */
    size_t order;                        /* ascending in the order in which the forward uses tensors       */
} tn_place;

/* Calls `visit` for each tensor, row by row of the table, until one fails. */
typedef tenebra_code tn_place_fn(void *user, const tn_place *place, tenebra_error *error);
tenebra_code tn_network_each(tn_network *network, tn_place_fn *visit, void *user, tenebra_error *error);

/* Name number `which` of a tensor: 0 is its own name, the others follow. False if there is none. */
bool tn_place_name(const tn_place *place, size_t which, char name[TN_PLACE_NAME]);

/* Translates names. If `name` [length] is name number *from (may be NULL) of a tensor of this layout, or of its module (the
 * name without the last part, ".weight"), writes name number `to` in the same form. False if `name` is not such a name, or has
 * no name of that number. */
bool tn_layout_rename(const tn_layout *layout, const char *name, size_t length, size_t to, char other[TN_PLACE_NAME], size_t *from);

/* Reads the values [rows * cols] of the slots, which must be filled. */
void tn_place_read(const tn_place *place, tn_real *values);

static inline bool tn_place_is_matrix(const tn_place *place) { return tn_role_is_matrix(place->row->role); }

/* Whether the tensor is a linear layer y = W x, to which an adapter can be added. */
static inline bool tn_place_is_linear(const tn_place *place)
{
    return place->row->role == TN_ROLE_LINEAR || place->row->role == TN_ROLE_HEAD;
}

/* The number of rows of the network's input for one row of the matrix's input. */
size_t tn_place_pool(const tn_place *place);

/* Whether the tensor, or an adapter on it, is trained; the same for any tensor of a member of a group, or, with group TN_ANY,
 * of the network. */
enum { TN_ANY = TN_LAYOUT_GROUPS };
bool tn_place_is_trained(const tn_place *place);
bool tn_network_is_trained(const tn_network *network, size_t group, size_t number);

#endif
