/* Internal to the reasoner: shared by its files. */
#ifndef TN_REASON_PARTS_H
#define TN_REASON_PARTS_H

#include "image/region.h"
#include "reason/reasoner.h"

/* Fills the error with LIMIT, "the memory of one question is full", and returns LIMIT. */
tenebra_code tn_fail_session_full(tenebra_error *error);

/* Checks pointers and texts of the request before they are used. Errors: ARGUMENT. */
tenebra_code tn_request_check(const tenebra_request *request, tenebra_error *error);

/* Makes room for the tokens and the text of one more pass, after those of earlier passes. Errors: LIMIT. */
tenebra_code tn_reasoner_take_answer(tn_reasoner *reasoner, tenebra_error *error);

static inline void tn_reasoner_end_answer(tn_reasoner *reasoner, tenebra_finish finish)
{
    reasoner->answer.ended = true;
    reasoner->trace.finish = finish;
}

/* Determines the values of the method's options, checks them and writes them into the trace. Errors: ARGUMENT. */
tenebra_code tn_reasoner_read_settings(tn_reasoner *reasoner, tenebra_error *error);

/* Between these two calls, a request that asks for it gets an event for each layer that runs for the generation
 * (reason/work.c). `layers`: the number of layers that will run. */
void tn_reasoner_start_work(tn_reasoner *reasoner, const char *name, size_t layers);
void tn_reasoner_end_work(tn_reasoner *reasoner);

/* Around a call of the engine for these generations: they get events for its layers. A generation that is alone in the call can
 * end it early; others are marked as cancelled. */
typedef struct tn_work {
    tn_engine *engine;
    tn_reasoner *const *reasoners;
    size_t count;
} tn_work;
void tn_work_begin(tn_work *work, tn_engine *engine, tn_reasoner *const *reasoners, size_t count);
void tn_work_end(const tn_work *work);

tenebra_code tn_reasoner_read_positions(tn_reasoner *reasoner, tenebra_error *error);

/* Checks that all images, and another one of width x height pixels, fit into the context, before the image encoder runs, which
 * may take minutes. Errors: LIMIT. */
tenebra_code tn_reasoner_check_room(const tn_reasoner *reasoner, size_t width, size_t height, tenebra_error *error);

/* Makes a new image as the model sees it. A plain frame is removed if the model's processor says so. The size follows from the
 * part's own rule and then the model's, as in qwen_vl_utils and the reference's processor; if the part has no rule (or is
 * NULL), from the request's rule, else the model's. *seen (may be NULL): the part of the image that is seen. Errors: ARGUMENT,
 * UNSUPPORTED (the model does not accept sizes of parts), LIMIT (context), MEMORY; *resized is then empty. */
tenebra_code tn_reasoner_resize(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized,
                                tn_region *seen, tenebra_error *error);

/* The same by another rule, without the check of the context. */
tenebra_code tn_reasoner_resize_to(const tn_reasoner *reasoner, const tenebra_image_rule *rule, const tn_image *image, tn_image *resized,
                                   tn_region *seen, tenebra_error *error);

/* The digest of everything that an encoded image depends on: size and pixels (the rest belongs to the model). */
tn_digest tn_reasoner_digest(const tn_image *image);

/* Decodes, resizes and measures the request's images in order. */
tenebra_code tn_reasoner_load_pictures(tn_reasoner *reasoner, tenebra_error *error);

/* Encodes the images that are not encoded yet, or takes them from the session's cache. Errors: ARGUMENT (sides that are not
 * whole cells), LIMIT, FORMAT. */
tenebra_code tn_reasoner_encode_pictures(tn_reasoner *reasoner, tenebra_error *error);

/* Whether all of them are encoded. */
bool tn_reasoner_has_pictures(const tn_reasoner *reasoner);

/* Whether the model also sees the original of a redrawn image, before it. */
bool tn_reasoner_shows_both(const tn_reasoner *reasoner);

/* The script of a pass: the request's messages with the example, before method->arrange. Errors: LIMIT. */
tenebra_code tn_script_open(tn_script *script, tn_reasoner *reasoner, tenebra_error *error);

/* The number of system messages at the beginning; the example follows them. */
size_t tn_request_system_count(const tenebra_request *request);

/* Renders the messages (after method->arrange) to the rows of the prompt and of its tail. */
tenebra_code tn_reasoner_render(tn_reasoner *reasoner, tenebra_error *error);

/* Makes the rows of rendered text, which shows the images from `first_picture` on, without positions. They live until the
 * reset. Errors: MISMATCH, LIMIT, MEMORY. */
tenebra_code tn_reasoner_lay_text(tn_reasoner *reasoner, const tn_text_span *spans, size_t span_count, size_t first_picture,
                                  tn_row **rows, size_t *count, tenebra_error *error);

/* Adds the rows of the prompt's tail to the span, if they are ahead. Errors: LIMIT. */
tenebra_code tn_reasoner_add_tail(tn_reasoner *reasoner, tenebra_error *error);

/* Adds rows of a prompt or a turn to the span. They get the next positions, and their cells can be picked. Errors: LIMIT. */
tenebra_code tn_reasoner_add_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error);

/* Adds an empty reply and the messages of method->arrange to the dialogue. *rows: those of the end of the reply, the messages with
 * their images, and the start of the next reply; they live until the reset. Errors: UNSUPPORTED (a template that changes earlier
 * turns), LIMIT. */
tenebra_code tn_reasoner_render_turn(tn_reasoner *reasoner, tn_row **rows, size_t *count, tenebra_error *error);

/* Adds the rows of a further turn to the span: the token of the reply that did not run, the end of the reply, the messages that
 * method->arrange adds, and the start of the next reply (turn.c). Errors: UNSUPPORTED (a template that changes earlier turns),
 * LIMIT. */
tenebra_code tn_reasoner_lay_turn(tn_reasoner *reasoner, tenebra_error *error);

/* With request->scores: stores the attention of the prompt's last row in the trace. Errors: LIMIT. */
tenebra_code tn_reasoner_keep_prompt_scores(tn_reasoner *reasoner, tenebra_error *error);

/* Stores sizes and grids of all images in the trace. Errors: LIMIT. */
tenebra_code tn_reasoner_tell_pictures(tn_reasoner *reasoner, tenebra_error *error);

/* Appends the token to the text, looks for stop texts, and sends new text to the caller. Errors: CANCELLED, LIMIT. */
tenebra_code tn_stream_token(tn_reasoner *reasoner, int32_t token, tenebra_error *error);
/* Sends the text that was held back. */
tenebra_code tn_stream_end(tn_reasoner *reasoner, tenebra_error *error);
/* Sends the draft as the answer. */
tenebra_code tn_stream_release(tn_reasoner *reasoner, tenebra_error *error);

/* Adds a finished pass to the trace. Errors: LIMIT. */
tenebra_code tn_reasoner_file_pass(tn_reasoner *reasoner, bool turn, tenebra_error *error);

/* Copies a text that lives until the reset to reasoner->account.pass_prompt. Errors: LIMIT. */
tenebra_code tn_reasoner_keep_prompt(tn_reasoner *reasoner, const char *text, size_t length, tenebra_error *error);

#endif
