/* The image encoder of Chameleon: the encoder of a VQ-VAE (levels of residual blocks of convolutions, each level at half the
 * resolution of the one before, and attention in the middle), and a codebook. An image becomes the numbers of the nearest entries,
 * which are tokens of the vocabulary. Source: arXiv:2405.09818, section 2.1; arXiv:2203.13131 and arXiv:2012.09841 for the structure;
 * the layout of the published checkpoints. */
#include "image/patches.h"
#include "model/backbone.h"
#include "model/pieces.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEVELS = TN_SIZE_OWN, INNER, BLOCKS,     /* blocks of a level, of all levels                           */
    COLOURS, KERNEL, ONE, BASE, TOP,         /* channels of the first level's input, and of the last level */
    LATENT, EMBED, CODES, RESOLUTION, UNIT, AREA, /* pixels of a cell's side, and of a cell                */
    CHANNELS                                 /* of each level                                              */
};
enum { LEVELS_MAX = 8, GROUPS = 32, RATIO_MAX = 200 /* of the sides of an image: what is cropped is resized first */ };

/* Sizes of a block: channels of its input and of its result, also if it has a shortcut, or halves the image at the end; pixels for
 * one row of it, and of its end. */
enum { FROM = TN_SIZE_MEMBER, TO, SHORT, HALF, PIXELS, HALF_PIXELS };

static const double EPS = 1e-6;

typedef struct vq_norm {
    tn_vector scale, shift;
} vq_norm;

typedef struct vq_conv {
    tn_weight weight;
    tn_vector bias;
} vq_conv;

typedef struct vq_block {
    vq_norm norm1, norm2;
    vq_conv conv1, conv2;
    vq_conv shortcut; /* absent if the number of channels does not change           */
    vq_conv half;     /* after the last block of each level, except the last level  */
} vq_block;

typedef struct vq_tower {
    tn_network network;
    vq_conv in, out, quant;
    vq_block *blocks; /* [levels * inner] */
    vq_block middle[2];
    vq_norm attention_norm, out_norm;
    vq_conv q, k, v, proj;
    tn_weight book;      /* [codes, embed]  */
    vq_conv post;        /* of the decoder of the VQ-VAE: in files, never used */
} vq_tower;

/* --------------------------------------------------------------- tensors -- */

#define ROW(name_, ...) .name = "model.vqmodel." name_, TN_LAYOUT_ROW(__VA_ARGS__)
#define TOWER(member) 0, offsetof(vq_tower, member), 1
#define BLOCK(member) TN_ENCODER_BLOCK, offsetof(vq_block, member), 1

/* Names are joined to strings, and members follow a dot, so they are without parentheses.
 * NOLINTBEGIN(bugprone-macro-parentheses) */
#define NORM(name, at, member, size)                                     \
    { ROW(name ".weight", SCALE, at(member.scale), size) },              \
    { ROW(name ".bias", SHIFT, at(member.shift), size) }
#define CONV(name, at, member, outputs, inputs, side, pool)                                          \
    { ROW(name ".weight", PATCHES, at(member.weight), outputs, inputs, side, side), .pooled = pool }, \
    { ROW(name ".bias", BIAS, at(member.bias), outputs) }
#define MIDDLE(name, member)                                                      \
    NORM("encoder.mid." name ".norm1", TOWER, member.norm1, TOP),                 \
    CONV("encoder.mid." name ".conv1", TOWER, member.conv1, TOP, TOP, KERNEL, AREA), \
    NORM("encoder.mid." name ".norm2", TOWER, member.norm2, TOP),                 \
    CONV("encoder.mid." name ".conv2", TOWER, member.conv2, TOP, TOP, KERNEL, AREA)
/* NOLINTEND(bugprone-macro-parentheses) */

static const tn_layout_row rows[] = {
    CONV("encoder.conv_in", TOWER, in, BASE, COLOURS, KERNEL, ONE),
    CONV("encoder.down.%zu.block.%zu.nin_shortcut", BLOCK, shortcut, SHORT, FROM, ONE, PIXELS),
    NORM("encoder.down.%zu.block.%zu.norm1", BLOCK, norm1, FROM),
    CONV("encoder.down.%zu.block.%zu.conv1", BLOCK, conv1, TO, FROM, KERNEL, PIXELS),
    NORM("encoder.down.%zu.block.%zu.norm2", BLOCK, norm2, TO),
    CONV("encoder.down.%zu.block.%zu.conv2", BLOCK, conv2, TO, TO, KERNEL, PIXELS),
    CONV("encoder.down.%zu.downsample.conv", BLOCK, half, HALF, TO, KERNEL, HALF_PIXELS),
    MIDDLE("block_1", middle[0]),
    NORM("encoder.mid.attn_1.norm", TOWER, attention_norm, TOP),
    CONV("encoder.mid.attn_1.q", TOWER, q, TOP, TOP, ONE, AREA),
    CONV("encoder.mid.attn_1.k", TOWER, k, TOP, TOP, ONE, AREA),
    CONV("encoder.mid.attn_1.v", TOWER, v, TOP, TOP, ONE, AREA),
    { ROW("encoder.mid.attn_1.proj_out.weight", PATCHES, TOWER(proj.weight), TOP, TOP, ONE, ONE), .pooled = AREA,
      .reads = TN_READS_ATTENTION },
    { ROW("encoder.mid.attn_1.proj_out.bias", BIAS, TOWER(proj.bias), TOP) },
    MIDDLE("block_2", middle[1]),
    NORM("encoder.norm_out", TOWER, out_norm, TOP),
    CONV("encoder.conv_out", TOWER, out, LATENT, TOP, KERNEL, AREA),
    CONV("quant_conv", TOWER, quant, EMBED, LATENT, ONE, AREA),
    { ROW("quantize.embedding.weight", PATCHES, TOWER(book), CODES, EMBED), .pooled = AREA },
    CONV("post_quant_conv", TOWER, post, LATENT, EMBED, ONE, AREA),
    { .name = NULL }
};

static bool ends_level(const size_t *sizes, size_t block)
{
    return block % sizes[INNER] + 1 == sizes[INNER] && block / sizes[INNER] + 1 < sizes[LEVELS];
}

static size_t block_size(const tn_network *network, size_t number, size_t which)
{
    const size_t *sizes = network->sizes;
    size_t level = number / sizes[INNER], to = sizes[CHANNELS + level];
    size_t from = number % sizes[INNER] > 0 ? to : level > 0 ? sizes[CHANNELS + level - 1] : sizes[BASE];
    switch (which) {
    case FROM: return from;
    case TO: return to;
    case SHORT: return from != to ? to : 0;
    case HALF: return ends_level(sizes, number) ? to : 0;
    case PIXELS: return (size_t)1 << 2 * level;
    default: return (size_t)1 << 2 * (level + 1);
    }
}

static const tn_layout layout = {
    .kind = TN_NETWORK_IMAGES,
    .bytes = sizeof(vq_tower),
    .discrete = true,
    .groups = { [TN_ENCODER_BLOCK] = { offsetof(vq_tower, blocks), sizeof(vq_block), BLOCKS, INNER, block_size } },
    .rows = rows,
};

/* --------------------------------------------------------- configuration -- */

static tenebra_code read_levels(const json_t *json, const char *file, size_t *sizes, tenebra_error *error)
{
    static const size_t published[] = { 1, 1, 2, 2, 4 };
    const json_t *list = json_object_get(json, "channel_multiplier");
    bool given = list != NULL && !json_is_null(list);
    sizes[LEVELS] = given ? json_array_size(list) : sizeof published / sizeof *published;
    if (sizes[LEVELS] < 1 || sizes[LEVELS] > LEVELS_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"channel_multiplier\" must be a list of 1 to %d numbers", LEVELS_MAX);
    for (size_t level = 0; level < sizes[LEVELS]; level++) {
        const json_t *item = given ? json_array_get(list, level) : NULL;
        json_int_t factor = given ? json_integer_value(item) : (json_int_t)published[level];
        if (factor < 1 || factor > 64)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"channel_multiplier\" must contain whole numbers from 1 to 64");
        sizes[CHANNELS + level] = sizes[BASE] * (size_t)factor;
    }
    sizes[TOP] = sizes[CHANNELS + sizes[LEVELS] - 1];
    sizes[BLOCKS] = sizes[LEVELS] * sizes[INNER];
    sizes[UNIT] = (size_t)1 << (sizes[LEVELS] - 1);
    sizes[AREA] = sizes[UNIT] * sizes[UNIT];
    return TENEBRA_OK;
}

/* What the published models do not have. */
static tenebra_code refuse_others(const json_t *json, const char *file, tenebra_error *error)
{
    const json_t *places = json_object_get(json, "attn_resolutions"), *type = json_object_get(json, "attn_type");
    bool twice = false;
    size_t colours = TN_IMAGE_CHANNELS;
    TN_TRY(tn_json_bool(json, "double_latent", &twice, file, error));
    TN_TRY(tn_json_size(json, "in_channels", 1, 16, &colours, file, error));
    if (places != NULL && !json_is_null(places) && json_array_size(places) + !json_is_array(places) > 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"attn_resolutions\" of the image encoder: attention in its levels is not "
                                                               "supported");
    if (type != NULL && (!json_is_string(type) || strcmp(json_string_value(type), "vanilla") != 0))
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"attn_type\" of the image encoder must be \"vanilla\"");
    if (twice)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"double_latent\" of the image encoder is not supported");
    return colours == TN_IMAGE_CHANNELS ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "images of %zu channels are not "
                                                               "supported", colours);
}

static tenebra_code read_config(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    tn_encoder_config *vision = &config->vision;
    *vision = (tn_encoder_config){ .sizes = { [INNER] = 2, [COLOURS] = TN_IMAGE_CHANNELS, [KERNEL] = 3, [ONE] = 1, [BASE] = 128,
                                              [LATENT] = 256, [EMBED] = 256, [CODES] = 8192, [RESOLUTION] = 512 } };
    size_t *sizes = vision->sizes;
    TN_TRY(tn_json_size(json, "base_channels", GROUPS, 1 << 12, &sizes[BASE], file, error));
    TN_TRY(tn_json_size(json, "num_res_blocks", 1, 64, &sizes[INNER], file, error));
    TN_TRY(tn_json_size(json, "latent_channels", 1, 1 << 16, &sizes[LATENT], file, error));
    TN_TRY(tn_json_size(json, "embed_dim", 1, 1 << 16, &sizes[EMBED], file, error));
    TN_TRY(tn_json_size(json, "num_embeddings", 1, 1 << 20, &sizes[CODES], file, error));
    TN_TRY(tn_json_size(json, "resolution", 1, 1 << 14, &sizes[RESOLUTION], file, error));
    TN_TRY(refuse_others(json, file, error));
    TN_TRY(read_levels(json, file, sizes, error));
    if (sizes[BASE] % GROUPS != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"base_channels\" is %zu, but norms of the image encoder have %d groups",
                       sizes[BASE], GROUPS);
    if (sizes[RESOLUTION] % sizes[UNIT] != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"resolution\" is %zu, but %zu levels halve the image to cells of %zu pixels",
                       sizes[RESOLUTION], sizes[LEVELS], sizes[UNIT]);
    return TENEBRA_OK;
}

static const tn_size_name names[] = {
    { "levels", LEVELS }, { "num_res_blocks", INNER }, { "base_channels", BASE }, { "latent_channels", LATENT }, { "embed_dim", EMBED },
    { "num_embeddings", CODES }, { "resolution", RESOLUTION }, { NULL, 0 }
};

static const char *const keys[] = {
    "base_channels", "num_res_blocks", "latent_channels", "embed_dim", "num_embeddings", "resolution", "channel_multiplier",
    "attn_resolutions", "attn_type", "double_latent", "in_channels",
    /* no effect: of the decoder of the VQ-VAE, and of its training */
    "out_channels", "dropout", "beta", NULL
};

/* -------------------------------------------------------------- images -- */

/* The shorter side is resized to `shortest`, then the middle is cropped. */
typedef struct vq_rule {
    tn_patch_config pixels; /* "patches" of one pixel: [height * width, 3] */
    size_t shortest, width, height;
    size_t unit;            /* pixels of a cell's side */
} vq_rule;

/* A number, or an object with members for both sides. */
static tenebra_code read_sides(const json_t *part, const char *key, const char *first, const char *second, size_t *one, size_t *other,
                               const char *file, tenebra_error *error)
{
    const json_t *value = json_object_get(part, key);
    if (value == NULL || json_is_null(value))
        return TENEBRA_OK;
    if (!json_is_object(value)) {
        TN_TRY(tn_json_size(part, key, 1, 1 << 14, one, file, error));
        *other = *one;
        return TENEBRA_OK;
    }
    if (json_object_get(value, first) == NULL || json_object_get(value, second) == NULL)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%s\" without \"%s\" is not supported for models of this type", key,
                       json_object_get(value, first) == NULL ? first : second);
    char inner[TN_JSON_PART];
    TN_TRY(tn_json_size(value, first, 1, 1 << 14, one, tn_json_part(inner, file, key), error));
    return tn_json_size(value, second, 1, 1 << 14, other, inner, error);
}

/* Files without sizes mean those for which the encoder was trained. */
static tenebra_code read_rule(const json_t *part, const char *file, const tn_encoder_config *config, void *rule, tenebra_error *error)
{
    size_t side = config->sizes[RESOLUTION];
    vq_rule *r = rule;
    bool resize = true, crop = true;
    *r = (vq_rule){ .shortest = side, .width = side, .height = side, .unit = config->sizes[UNIT] };
    r->pixels = (tn_patch_config){ .patch_size = 1, .merge_size = 1, .temporal_patch_size = 1, .rescale = 0.0078, .mean = { 1, 1, 1 },
                                   .std = { 1, 1, 1 }, .resample = TN_RESAMPLE_LANCZOS };
    TN_TRY(tn_json_bool(part, "do_resize", &resize, file, error));
    TN_TRY(tn_json_bool(part, "do_center_crop", &crop, file, error));
    if (!resize || !crop)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%s\" is false, but models of this type see images in one size",
                       resize ? "do_center_crop" : "do_resize");
    TN_TRY(read_sides(part, "size", "shortest_edge", "shortest_edge", &r->shortest, &side, file, error));
    TN_TRY(read_sides(part, "crop_size", "height", "width", &r->height, &r->width, file, error));
    TN_TRY(tn_resample_read(part, file, &r->pixels.resample, error));
    TN_TRY(tn_pixels_read(part, file, &r->pixels, error));
    if (r->width > r->shortest || r->height > r->shortest || r->width % r->unit != 0 || r->height % r->unit != 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, file, "\"crop_size\" %zu x %zu must be multiples of %zu pixels, and at most "
                       "\"shortest_edge\", %zu", r->width, r->height, r->unit, r->shortest);
    return TENEBRA_OK;
}

static void note_rule(const json_t *part, const char *file, const char *prefix, tn_notes *notes)
{
    static const char *const known[] = {
        "size", "crop_size", "resample", "do_resize=true", "do_center_crop=true", "do_rescale", "rescale_factor", "do_normalize",
        "image_mean", "image_std", "trim_frame",
        /* no effect on the result: images are already RGB here */
        "do_convert_rgb=true", "do_pad=false", "image_processor_type", "feature_extractor_type", "processor_class", "data_format",
        "input_data_format", "device", "disable_grouping", "return_tensors", "default_to_square=false", NULL
    };
    tn_notes_unknown(notes, part, known, file, prefix);
}

static bool same_rule(const void *one, const void *other)
{
    const vq_rule *a = one, *b = other;
    bool same = a->shortest == b->shortest && a->width == b->width && a->height == b->height &&
                a->pixels.rescale == b->pixels.rescale && a->pixels.resample == b->pixels.resample;
    for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++)
        same = same && a->pixels.mean[c] == b->pixels.mean[c] && a->pixels.std[c] == b->pixels.std[c];
    return same;
}

static void bounds(const void *rule, size_t *least, size_t *most)
{
    const vq_rule *r = rule;
    *least = *most = r->width * r->height;
}

static bool write_rule(json_t *part, const tn_encoder_config *config, const void *rule, const tenebra_image_rule *asked)
{
    const vq_rule *r = rule;
    size_t side = config != NULL ? config->sizes[RESOLUTION] : 0;
    size_t shortest = r != NULL ? r->shortest : side, width = r != NULL ? r->width : side, height = r != NULL ? r->height : side;
    (void)asked; /* requests do not change the size, except to a fixed one, which a processor file of this type cannot say */
    return json_object_set_new(part, "size", json_pack("{s:I}", "shortest_edge", (json_int_t)shortest)) == 0 &&
           json_object_set_new(part, "crop_size", json_pack("{s:I, s:I}", "height", (json_int_t)height, "width", (json_int_t)width)) == 0;
}

/* The whole image in the size whose shorter side is `shortest`; of a fixed size, the least that covers it. The other side is cut
 * off to whole pixels, and so is half of what is left over, as in the reference. */
static tenebra_code fit(const void *rule, size_t width, size_t height, const tenebra_image_rule *asked, tn_fit *to, tenebra_error *error)
{
    const vq_rule *r = rule;
    size_t least = 1, most = TN_IMAGE_AREA_MAX, w, h;
    bool fixed;
    TN_TRY(tn_picture_fixed(asked, r->unit, &fixed, &w, &h, error));
    TN_TRY(tn_picture_bounds(asked, r->unit * r->unit, &least, &most, error));
    size_t seen_width = fixed ? w : r->width, seen_height = fixed ? h : r->height;
    size_t x = fixed ? w : r->shortest, y = fixed ? h : r->shortest;
    if (seen_width * seen_height < least || seen_width * seen_height > most)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "models of this type see all images in one size, %zu x %zu pixels, which "
                       "the bounds of the request exclude; --image-size sets another one (image_size in a recipe)", seen_width,
                       seen_height);
    bool wide = width * y > height * x; /* the height decides; sides are below 2^20 */
    size_t across = wide ? y * width / height : x, down = wide ? y : x * height / width;
    if (tn_max(width, height) > RATIO_MAX * tn_min(width, height) || across > TN_IMAGE_SIDE_MAX || down > TN_IMAGE_SIDE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "%zu x %zu pixels are too long and narrow; crop the image", width, height);
    *to = (tn_fit){ across, down, (across - seen_width) / 2, (down - seen_height) / 2, seen_width, seen_height, r->pixels.resample };
    return TENEBRA_OK;
}

static tn_image_rows measure(const void *rule, size_t width, size_t height)
{
    size_t unit = ((const vq_rule *)rule)->unit, down = height / unit, across = width / unit;
    return (tn_image_rows){ .rows = down * across, .frames = 1, .grid_rows = down, .grid_columns = across };
}

static size_t area(const void *rule)
{
    const vq_rule *r = rule;
    return r->unit * r->unit;
}

static tenebra_code prepare(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error)
{
    const vq_rule *r = rule;
    tn_patches cut;
    *prepared = (tn_prepared){ 0 };
    if (image->width % r->unit != 0 || image->height % r->unit != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "%zu x %zu pixels are not whole cells of %zu", image->width, image->height,
                       r->unit);
    TN_TRY(tn_patches_cut(&r->pixels, image, &cut, error));
    double cells = (double)measure(rule, image->width, image->height).rows;
    *prepared = (tn_prepared){ cut.count, cut.columns, { 1, cut.grid_h, cut.grid_w }, cells * cells, cut.values };
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- forward -- */

/* An image on its way: its rows, and its sides in pixels. */
typedef struct vq_image {
    tn_tensor x;
    size_t height, width;
} vq_image;

/* A convolution that keeps the sides. */
static tn_tensor convolve(tn_ops *ops, const vq_image *image, tn_tensor x, const vq_conv *conv)
{
    const tn_conv shape = { .height = image->height, .width = image->width, .kernel = 3, .stride = 1, .top = 1, .left = 1, .bottom = 1,
                            .right = 1 };
    return tn_op_conv(ops, x, &shape, &conv->weight, &conv->bias);
}

/* One that halves them: zeros only on the right and at the bottom. */
static void halve(tn_ops *ops, vq_image *image, const vq_conv *conv)
{
    const tn_conv shape = { .height = image->height, .width = image->width, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 };
    image->x = tn_op_conv(ops, image->x, &shape, &conv->weight, &conv->bias);
    image->height = tn_conv_rows(&shape);
    image->width = tn_conv_columns(&shape);
}

static tn_tensor norm(tn_ops *ops, tn_tensor x, const vq_norm *n)
{
    return tn_op_group_norm(ops, x, &n->scale, &n->shift, GROUPS, EPS);
}

/* A residual block. What the sum is written to lies below the temporaries, which are released. */
static void run_block(tn_ops *ops, vq_image *image, const vq_block *block, bool shortcut)
{
    tn_tensor x = image->x, sum = shortcut ? tn_op_linear(ops, x, &block->shortcut.weight, &block->shortcut.bias) : x;
    size_t mark = tn_ops_mark(ops);
    tn_tensor inner = convolve(ops, image, tn_op_silu(ops, norm(ops, x, &block->norm1)), &block->conv1);
    inner = convolve(ops, image, tn_op_silu(ops, norm(ops, inner, &block->norm2)), &block->conv2);
    image->x = tn_op_add(ops, sum, inner);
    tn_ops_release(ops, mark);
}

/* Attention of all cells to each other, with one head. */
static void attend(tn_ops *ops, vq_image *image, const vq_tower *tower)
{
    size_t mark = tn_ops_mark(ops), borders[2] = { 0, image->x.rows };
    tn_tensor x = norm(ops, image->x, &tower->attention_norm);
    tn_tensor q = tn_op_linear(ops, x, &tower->q.weight, &tower->q.bias), k = tn_op_linear(ops, x, &tower->k.weight, &tower->k.bias);
    tn_tensor v = tn_op_linear(ops, x, &tower->v.weight, &tower->v.bias), mixed = tn_piece_attention(ops, q, k, v, 1, borders, 1);
    image->x = tn_op_add(ops, image->x, tn_op_linear(ops, mixed, &tower->proj.weight, &tower->proj.bias));
    tn_ops_release(ops, mark);
}

/* The vectors [cells, embed] of an image, before quantisation. */
static tn_tensor vectors_of(tn_ops *ops, const vq_tower *tower, const tn_prepared *picture)
{
    const size_t *sizes = tower->network.sizes;
    vq_image image = { .height = picture->sides[1], .width = picture->sides[2] };
    image.x = convolve(ops, &image, tn_op_import(ops, picture->rows, picture->columns, picture->values), &tower->in);
    tn_op_watch(ops, "vision.patch_embed", 0, image.x);
    for (size_t b = 0; b < sizes[BLOCKS] && tn_ops_proceed(ops); b++) {
        run_block(ops, &image, &tower->blocks[b], block_size(&tower->network, b, SHORT) > 0);
        if (ends_level(sizes, b))
            halve(ops, &image, &tower->blocks[b].half);
        tn_op_watch(ops, "vision.block", b, image.x);
    }
    run_block(ops, &image, &tower->middle[0], false);
    attend(ops, &image, tower);
    tn_op_watch(ops, "vq.mid.attn", 0, image.x);
    run_block(ops, &image, &tower->middle[1], false);
    tn_tensor z = convolve(ops, &image, tn_op_silu(ops, norm(ops, image.x, &tower->out_norm)), &tower->out);
    z = tn_op_linear(ops, z, &tower->quant.weight, &tower->quant.bias);
    tn_op_watch(ops, "vq.prequant", 0, z);
    return z;
}

static tn_encoded encode(tn_ops *ops, const tn_network *network, const tn_prepared *const *pictures, size_t count)
{
    const vq_tower *tower = (const vq_tower *)network;
    size_t unit = network->sizes[UNIT], cells = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        cells += pictures[i]->sides[1] / unit * (pictures[i]->sides[2] / unit);
    int32_t *codes = tn_ops_take(ops, "vision", cells, sizeof *codes);
    for (size_t i = 0; i < count && ops->failure.code == TENEBRA_OK; i++) {
        size_t mark = tn_ops_mark(ops);
        tn_tensor z = vectors_of(ops, tower, pictures[i]);
        tn_op_nearest(ops, z, &tower->book, codes + at, NULL);
        at += z.rows;
        tn_ops_release(ops, mark);
    }
    return (tn_encoded){ .codes = ops->failure.code == TENEBRA_OK ? codes : NULL };
}

const tn_image_encoder tn_image_encoder_chameleon = {
    .layout = &layout,
    .keys = keys,
    .names = names,
    .read_config = read_config,
    .rule_bytes = sizeof(vq_rule),
    .read_rule = read_rule,
    .note_rule = note_rule,
    .same_rule = same_rule,
    .bounds = bounds,
    .write_rule = write_rule,
    .fit = fit,
    .measure = measure,
    .area = area,
    .prepare = prepare,
    .encode = encode,
};
