/* Chat templates: from messages to the text of a prompt, as the published templates render them.
 *
 * Each template is a C function in templates/, recognised by a hash of the published text. An
 * unknown text is an error, never an approximation. The rendered text records which parts came from the template and which from
 * the messages, so that no message can write control tokens:
 *
 *     tn_chat_text rendered = { 0 };
 *     tn_chat_render(style, messages, count, &options, &rendered, &error);
 *     tn_tokenizer_encode(tokenizer, rendered.spans, rendered.span_count, &ids, &error);
 *     ... ids.pictures says where the pictures stand
 *     tn_chat_text_free(&rendered);
 */
#ifndef TN_TEXT_CHAT_H
#define TN_TEXT_CHAT_H

#include "text/tokenizer.h"

/* ------------------------------------------------------- rendered text -- */

/* Zeroed is empty. The spans follow each other in `text` and are ready for tn_tokenizer_encode; everything is owned. */
typedef struct tn_chat_text {
    tn_text text;
    tn_text_span *spans;
    size_t span_count;
    size_t image_count, video_count; /* placeholders that the template wrote */
    size_t tail;                     /* number of the spans at the end that come after latent steps (tn_chat_text_mark_tail) */
    bool marked;                     /* what is appended belongs to the tail */
    bool bare;                       /* a bare message: no token of the tokenizer comes before it either */
    bool single;                     /* everything goes into one control span */
} tn_chat_text;

/* Appends text; `control` as in tn_text_span. Errors: MEMORY, LIMIT. */
tenebra_code tn_chat_text_append(tn_chat_text *rendered, const char *text, size_t length, bool control,
                                 tenebra_error *error);

/* Appends the token that marks the next image. */
tenebra_code tn_chat_text_append_picture(tn_chat_text *rendered, const char *token, tenebra_error *error);

/* What is appended from now on comes after the latent steps of a method that has some before its answer, as a separator between the
 * question and the answer. It must begin with a control token. */
void tn_chat_text_mark_tail(tn_chat_text *rendered);

/* Frees and empties. A zeroed text may be freed. */
void tn_chat_text_free(tn_chat_text *rendered);

/* ------------------------------------------------------------ messages -- */

/* An image, a video, or text. */
typedef struct tn_chat_part {
    bool is_image, is_video;
    const char *text; /* borrowed, any bytes; not read for images and videos */
    size_t length;
} tn_chat_part;

typedef struct tn_chat_message {
    const char *role; /* letters, digits, '_' and '-': "system", "user", "assistant", ... */
    const tn_chat_part *parts;
    size_t part_count;
} tn_chat_message;

/* The role of a message that is rendered without a template: its texts, and the token of each image. It must be the only message. */
#define TN_ROLE_BARE "bare"

typedef struct tn_chat_options {
    bool add_generation_prompt; /* end with the start of the assistant's turn                    */
    bool add_vision_id;         /* number images and videos in the text                          */
    bool control_text;          /* message text may hold control tokens, as the reference
                                 * libraries have it; only for text that the caller wrote itself */
} tn_chat_options;

/* ----------------------------------------------------------- templates -- */

typedef struct tn_chat_template {
    const char *name;          /* as --chat-template takes it                                */
    const uint64_t *hashes;    /* of published texts (tn_chat_template_hash), 0-terminated   */
    const char *image, *video; /* placeholder tokens, NULL if it has none                    */
    const char *image_begin, *image_end; /* tokens before and after that of an image; NULL if it has none */
    const char *end_of_turn;   /* token that ends a message                                  */
    const char *published;     /* the published text, for new tokenizer directories; or NULL */
    const char *const *tokens; /* control tokens of its models in the order of their ids, NULL
                                * at the end, the padding first; or NULL                     */
    tenebra_code (*render)(const tn_chat_message *messages, size_t count, const tn_chat_options *options,
                           tn_chat_text *out, tenebra_error *error);
} tn_chat_template;

/* All templates, NULL-terminated; made by the build from templates/. */
extern const tn_chat_template *const tn_chat_templates[];

/* The template of a model directory: `name` if it is not NULL or empty; else the first found in
 * processor_config.json, chat_template.json, chat_template.jinja, additional_chat_templates/ and
 * tokenizer_config.json, of several by name the one called "default"; else `fallback`, a name or NULL.
 * Errors: ARGUMENT (no such name; nothing to choose by), UNSUPPORTED (a text that no template here has; the
 * sentence lists the names), IO, FORMAT, LIMIT, MEMORY. Threads: any. */
tenebra_code tn_chat_template_find(const char *directory, const char *name, const char *fallback,
                                   const tn_chat_template **found, tenebra_error *error);

/* FNV-1a (64 bits) of a template's text without what means nothing to Jinja: white space next to the
 * braces of a tag, more than one space inside it (quotes excepted), carriage returns, and one line
 * end at the very end. Source: jinja.palletsprojects.com, "Whitespace Control". */
uint64_t tn_chat_template_hash(const char *text, size_t length);

/* Renders messages into *out, which must be empty. On failure *out is freed.
 * Errors: ARGUMENT (a role that is not a word; a bare message beside others; an image, which the
 * template does not show), MEMORY, LIMIT. Threads: any. */
tenebra_code tn_chat_render(const tn_chat_template *style, const tn_chat_message *messages, size_t count,
                            const tn_chat_options *options, tn_chat_text *out, tenebra_error *error);

#endif
