/* tenebra: multimodal latent reasoning on vision-language models.
 *
 * This is the only public header. Handles are opaque and come in open/close
 * pairs. Every function that can fail takes a `tenebra_error *` (may be NULL)
 * and either returns a `tenebra_code` (0 is success) or a pointer (NULL is
 * failure). The record is filled only on failure.
 */
#ifndef TENEBRA_H
#define TENEBRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TENEBRA_API __attribute__((visibility("default")))
#else
#define TENEBRA_API
#endif

/* ------------------------------------------------------------- errors -- */

typedef enum tenebra_code {
    TENEBRA_OK = 0,
    TENEBRA_ERROR_ARGUMENT,    /* the caller asked for something impossible        */
    TENEBRA_ERROR_IO,          /* the system could not open, read or write         */
    TENEBRA_ERROR_FORMAT,      /* a file or message is not what it claims to be    */
    TENEBRA_ERROR_UNSUPPORTED, /* well-formed, but outside of what is implemented  */
    TENEBRA_ERROR_MISMATCH,    /* parts do not fit: tensors and config, ids and vocabulary */
    TENEBRA_ERROR_LIMIT,       /* beyond a configured cap: pixels, context, bytes  */
    TENEBRA_ERROR_MEMORY,      /* the system has no more memory                    */
    TENEBRA_ERROR_CANCELLED    /* the caller's callback or tenebra_session_cancel asked to stop */
} tenebra_code;

/* One failure: what kind, where (file, option or tensor), and a sentence that
 * says what is wrong and, where possible, what to do. Always zero-terminated. */
typedef struct tenebra_error {
    tenebra_code code;
    char where[256];
    char sentence[512];
} tenebra_error;

/* ------------------------------------------------------------- model -- */

/* Read-only once open: any number of sessions in any number of threads may share one.
 * Weights are mapped, not copied. To put others in place while a model is open, write them beside and rename: a file that is
 * written to is noticed at the next span of rows, and every ask fails with IO from then on; a file that is cut short also ends
 * the process, unless tenebra_faults_catch was called. */
typedef struct tenebra_model tenebra_model;

/* An adapter on top of a model: a directory as PEFT writes it (adapter_model.safetensors, adapter_config.json). */
typedef struct tenebra_adapter {
    const char *directory;
    double strength; /* factor on what it adds; 1: as it was trained */
    size_t pass;     /* 0: always; else only in this pass of a method that asks in several, from 1 */
} tenebra_adapter;

typedef struct tenebra_model_options {
    const char *kernels;       /* name of a kernel set; NULL: TENEBRA_KERNELS from the environment, or
                                * else the best that this machine runs                             */
    const char *chat_template; /* name of a template; NULL: the one that the directory brings       */
    const tenebra_adapter *adapters; /* [adapter_count], borrowed during the call; they add up      */
    size_t adapter_count;
} tenebra_model_options;

/* Opens a model directory as Hugging Face publishes it: config.json, model.safetensors (or shards with
 * their index), tokenizer.json, preprocessor_config.json. Weights are mapped, not copied. `options` may be
 * NULL. Errors: IO, FORMAT, UNSUPPORTED, MISMATCH (a missing, spare or misshapen tensor, by name). */
TENEBRA_API tenebra_model *tenebra_model_open(const char *directory, const tenebra_model_options *options,
                                              tenebra_error *error);

/* A sentence with the keys of the model's files that this program does not know or does not follow, such as a repetition
 * penalty, by file. NULL if there are none. Lives as long as the model. */
TENEBRA_API const char *tenebra_model_note(const tenebra_model *model);

/* Closes a model whose sessions are all closed. NULL is allowed. */
TENEBRA_API void tenebra_model_close(tenebra_model *model);

/* Makes a weight file that is cut short an error IO of what is being asked or trained, instead of the end of the process by
 * SIGBUS. This takes the signal over for the whole process: call it once, before threads start, and only in a program that
 * does not handle SIGBUS itself. The library calls it nowhere. Touches of any mapped file behind its end then read as zeros;
 * what else raises SIGBUS still ends the process. False where the system refuses. */
TENEBRA_API bool tenebra_faults_catch(void);

/* ----------------------------------------------------------- methods -- */

/* One option of a reasoning method. */
typedef struct tenebra_option {
    const char *name;     /* e.g. "n-latent"                                        */
    const char *argument; /* "N", or the accepted words as "a|b|c"                   */
    const char *value;    /* the default                                            */
    const char *help;     /* one line                                               */
    double minimum, maximum; /* of a number                                          */
} tenebra_option;

/* Methods by index, NULL past the last: its name, one line about it, and its options (ending with
 * name == NULL). `summary` and `options` may be NULL. Threads: any. */
TENEBRA_API const char *tenebra_method_at(size_t index, const char **summary, const tenebra_option **options);

/* ----------------------------------------------------------- request -- */

typedef enum tenebra_part_kind {
    TENEBRA_PART_TEXT,       /* text: UTF-8, length bytes (0: up to its zero). Never read as control tokens */
    TENEBRA_PART_IMAGE_FILE, /* text: path of a JPEG, PNG or WebP file                                     */
    TENEBRA_PART_IMAGE_BYTES /* bytes, length: such a file in memory; text: what errors call it, may be NULL */
} tenebra_part_kind;

typedef struct tenebra_part {
    tenebra_part_kind kind;
    const char *text;
    const void *bytes;
    size_t length;
    /* Of a picture, as the parts of qwen_vl_utils have them; 0: not given. Where any is given, the picture is first resized by
     * that library's rule, then by the model's own, and the request's sizes do not count for it. */
    size_t resized_width, resized_height; /* both or none: near this size                    */
    size_t min_pixels, max_pixels;        /* of the resized picture; without the two above   */
} tenebra_part;

typedef struct tenebra_message {
    const char *role; /* "system", "user" or "assistant" */
    const tenebra_part *parts;
    size_t part_count;
} tenebra_message;

typedef struct tenebra_setting {
    const char *name, *value;
} tenebra_setting;

/* A solved question that stands before the one asked, as a turn of the user and a reply. What the reply says is the
 * method's affair: the answer alone, or what it wants to be shown before it. */
typedef struct tenebra_example {
    const tenebra_part *parts; /* [part_count] the question with its pictures, worded as the one asked */
    size_t part_count;
    const char *answer;        /* a sentence, e.g. "Therefore, the answer is B" */
    const char *label;         /* what it names, e.g. "B"; NULL: the same       */
    const char *rationale;     /* NULL: none                                    */
    const char *scene_graph;   /* of the pictures, JSON; NULL: none             */
} tenebra_example;

struct tenebra_event;

/* Called while an answer is being made, from the thread that asked. Returning false cancels. */
typedef bool tenebra_event_fn(void *user, const struct tenebra_event *event);

/* How tokens are chosen. Zeroed: greedily. */
typedef struct tenebra_sampling {
    double temperature; /* 0: greedy, and the next two are not used   */
    size_t top_k;       /* 0: all                                     */
    double top_p;       /* 0: 1                                       */
    uint64_t seed;      /* of sampling and of a method's random draws */
} tenebra_sampling;

/* In which size pictures are seen. Zeroed: by the model's own rule. Of each bound one form, or ARGUMENT. */
typedef struct tenebra_image_rule {
    size_t width, height;          /* resize every picture to this; 0: by the bounds  */
    size_t min_tokens, max_tokens; /* embeddings of a picture; 0: the model's own     */
    size_t min_pixels, max_pixels; /* the same in pixels of the resized picture       */
} tenebra_image_rule;

/* A zeroed request with messages is a valid one: direct answer, greedy. */
typedef struct tenebra_request {
    const tenebra_message *messages;
    size_t message_count;
    const char *method;              /* NULL: "direct"                                       */
    const tenebra_setting *settings; /* of the method's options                              */
    size_t setting_count;
    const tenebra_example *example;  /* NULL: none; ARGUMENT where the method takes none     */
    const char *answer_turn;  /* after the answer the user says this, e.g. asks for one of the options, and that reply is the
                               * answer; NULL: no such turn                                   */
    const char *positions;    /* "sequential", "mrope", or NULL: as the method defines        */
    size_t max_tokens;        /* 0: 512                                                       */
    tenebra_sampling sampling;
    const char *const *stops; /* generation ends before any of these texts                    */
    size_t stop_count;
    const int32_t *forced;    /* [forced_count] tokens that stand for the first sampled ones of all passes, e.g. those of a
                               * trace, to see it again: each must be an id of the model                 */
    size_t forced_count;
    tenebra_image_rule image; /* for parts that have no sizes of their own                    */
    bool work;                /* tell events TENEBRA_EVENT_WORK, too                           */
    bool scores;              /* tell the attention to every image embedding: of the prompt, of each step */
    bool ignore_orientation;  /* leave the EXIF orientation alone, as data set scripts do      */
    size_t lens;              /* tokens to read from each latent through the head, at most 32  */
    const float *latents;     /* [latent_count, hidden_size] for latent-text=given: what stands in for the
                               * hidden state of each step, e.g. those of another question's trace       */
    size_t latent_count, latent_size; /* latent_size: the model's hidden_size                            */
    bool recompute;           /* run all rows again at every step, as the reference does: slow  */
    bool no_reuse;            /* run the whole prompt, even where the session's last question began with the same
                               * rows. The answer is the same, to the last bit                  */
    tenebra_event_fn *on_event;
    void *user;
} tenebra_request;

/* ---------------------------------------------------------- defaults -- */

/* The request that the model was trained for, as its directory or an adapter tells it (training.json): method, settings and
 * positions, sizes of pictures; without such a file a zeroed one. It has no messages. To ask what `tenebra run` asks, copy it and add those:
 *     tenebra_request request = *tenebra_model_defaults(model);
 * Borrowed: it and its texts live as long as the model. Threads: any. */
TENEBRA_API const tenebra_request *tenebra_model_defaults(const tenebra_model *model);

/* A question to one or more pictures. */
typedef struct tenebra_question {
    const char *text;
    const char *const *images;  /* [image_count] paths of JPEG, PNG or WebP files            */
    size_t image_count;
    const char *const *choices; /* [choice_count] answers to choose from, at most 26; 0: none */
    size_t choice_count;
    const char *preset; /* a wording by name. NULL: with choices the one that the model was trained on, else the standard one;
                         * without choices the text as it is                                  */
    const char *system; /* a message of the system before it; NULL: none                      */
} tenebra_question;

/* Wordings by index, NULL past the last: the name of one, and a line about it (`summary` may be NULL). Threads: any. */
TENEBRA_API const char *tenebra_preset_at(size_t index, const char **summary);

/* The messages of a request, made of a question. */
typedef struct tenebra_prompt tenebra_prompt;

/* Writes the question as `tenebra run` does. It borrows the question's texts: they must live as long as it does. `model` may
 * be NULL: nothing is known of training then. Errors: ARGUMENT (no text, an unknown wording, more than 26 choices), MEMORY.
 * Threads: any. */
TENEBRA_API tenebra_prompt *tenebra_prompt_make(const tenebra_model *model, const tenebra_question *question,
                                                tenebra_error *error);

/* Its messages, *count of them, borrowed from the prompt. */
TENEBRA_API const tenebra_message *tenebra_prompt_messages(const tenebra_prompt *prompt, size_t *count);

/* NULL is allowed. */
TENEBRA_API void tenebra_prompt_free(tenebra_prompt *prompt);

/* ------------------------------------------------------------- trace -- */

/* A picked image embedding: which, how it scored, and the rectangle that it stands for in
 * the picture as given (after its EXIF orientation), in pixels. */
typedef struct tenebra_pick {
    size_t image; /* from 0, of the trace's pictures      */
    size_t index; /* of the image's embeddings, row-major */
    double score; /* attention, mean over layers and heads */
    double x0, y0, x1, y1;
} tenebra_pick;

typedef struct tenebra_lens {
    int32_t token;
    const char *text;   /* as the tokenizer prints it; "" without a tokenizer */
    double probability; /* softmax over the vocabulary                        */
} tenebra_lens;

/* One latent step, or embeddings that a method fed again in the middle of an answer: without latent text, `hidden` is NULL
 * then, and what is told of it NaN. */
typedef struct tenebra_step {
    const tenebra_pick *picks; /* in the order in which they were inserted */
    size_t pick_count;
    double attention_ratio; /* from the step's last row: attention to the step's picks over attention to
                             * all latent text so far; NaN where either is missing. IVT-LR, figure 5       */
    double attention_focus; /* 1 / (entropy of the attention among the step's picks + 1e-6); NaN without picks */
    double hidden_norm;     /* Euclidean norm of the latent text, before any intervention                */
    double hidden_cosine;   /* cosine between it and that of the step before; NaN at the first           */
    const float *hidden;    /* [hidden_size] it itself: the hidden state, before any intervention        */
    size_t hidden_size;
    const tenebra_lens *lens;
    size_t lens_count;
    const float *scores; /* [score_count] with request.scores: attention to each image embedding of the prompt, from
                          * the row behind which the step was laid; as in picks. NULL: not asked for              */
    size_t score_count;
    double milliseconds;
} tenebra_step;

/* A picture as the model reads it: its size as given (after its orientation), and its embeddings in a grid, row by row. */
typedef struct tenebra_picture {
    size_t width, height;
    size_t rows, columns;
    size_t source; /* which of the request's pictures this is, or is drawn over; SIZE_MAX: one of the example, or that the
                    * method made                                                                                       */
} tenebra_picture;

typedef enum tenebra_call_outcome {
    TENEBRA_CALL_SHOWN,   /* the region was shown                                                 */
    TENEBRA_CALL_INVALID, /* no call of the tool that there is, or a region outside of the picture */
    TENEBRA_CALL_REFUSED  /* no rounds, pictures or rows were left                                */
} tenebra_call_outcome;

/* A reply that asks to see a region of a picture. */
typedef struct tenebra_call {
    size_t pass; /* of the reply, from 0 */
    tenebra_call_outcome outcome;
    size_t image;          /* SHOWN: the picture it was cut from...                                */
    double x0, y0, x1, y1; /* ...and what was cut, in pixels of that picture as given, else NaN    */
} tenebra_call;

typedef enum tenebra_finish {
    TENEBRA_FINISH_END_TOKEN, /* the model ended its answer */
    TENEBRA_FINISH_STOP_TEXT, /* one of the stop texts      */
    TENEBRA_FINISH_LENGTH     /* max_tokens, the context, or the rounds of a dialogue */
} tenebra_finish;

/* One prompt that was run, or a further turn, and what was generated after it. */
typedef struct tenebra_pass {
    const char *prompt;   /* what the template wrote, each picture as one placeholder; of a turn only what it adds. "" where
                           * the prompt came as ids */
    const char *text;     /* the reply, UTF-8                                    */
    size_t prompt_tokens; /* rows of the prompt, or those that ran for the turn  */
    size_t reused;        /* rows of the prompt that were in the cache           */
    size_t token_count;   /* sampled tokens                                      */
    tenebra_finish finish;
} tenebra_pass;

/* Everything about one answer. Borrowed from the session, valid until the next ask or the close. */
typedef struct tenebra_trace {
    const char *method, *positions, *kernels;
    const tenebra_setting *settings; /* all options of the method as they took effect */
    size_t setting_count;
    tenebra_sampling sampling; /* as it took effect: top_p is not 0 */
    size_t threads;
    const char *text; /* the answer, UTF-8, without control tokens */
    const int32_t *tokens;
    size_t token_count; /* sampled tokens of all passes, end tokens included */
    tenebra_finish finish;
    const tenebra_step *steps;
    size_t step_count;
    const tenebra_picture *pictures; /* in the order of the conversation */
    size_t picture_count;
    const float *prompt_scores; /* [prompt_score_count] with request.scores: attention of the prompt's last row to each
                                 * image embedding, picture after picture, mean over layers and heads; else NULL       */
    size_t prompt_score_count;
    size_t prompt_tokens;      /* rows of the last prompt, image embeddings included */
    size_t image_tokens;       /* image embeddings in the prompt                 */
    size_t latent_steps;       /* latent passes                                  */
    size_t injected_tokens;    /* rows fed since the prompt that were not sampled: image embeddings fed again, with the
                                * borders around them, and the messages of further turns */
    size_t prompt_reused;      /* rows of the prompt that the last question had left in the cache */
    size_t vision_cached;      /* pictures whose embeddings were known            */
    size_t positions_computed; /* rows that went through the decoder              */
    size_t passes;             /* prompts and turns that were run                 */
    const tenebra_pass *pass;  /* [passes] each of them; the last one's text is the answer */
    size_t crops;              /* pictures that the method added                  */
    const tenebra_call *calls; /* [call_count] of regions to see                  */
    size_t call_count, invalid_calls;
    const char *note;          /* what the method wants of the model beyond this answer, e.g. training; NULL: nothing */
    const char *cache_type;    /* number type of keys and values, "f32" or "bf16" */
    double decode_ms;          /* reading, resizing and cutting pictures          */
    double vision_ms, prefill_ms, latent_ms, generation_ms, total_ms;
} tenebra_trace;

typedef enum tenebra_event_kind {
    TENEBRA_EVENT_PROMPT, /* the prompt is in the cache            */
    TENEBRA_EVENT_STEP,   /* a latent step ended: step, index      */
    TENEBRA_EVENT_TEXT,   /* more of the answer: text, whole UTF-8 */
    TENEBRA_EVENT_DRAFT,  /* more of what is generated on the way to it: a rationale, a reply that calls a tool */
    TENEBRA_EVENT_WORK    /* with request.work: before layer `index` of `count` of what `text` names, "picture" (in the vision
                           * tower) or "prompt" (in the decoder) */
} tenebra_event_kind;

typedef struct tenebra_event {
    tenebra_event_kind kind;
    const tenebra_trace *trace; /* so far */
    const tenebra_step *step;
    size_t index;
    const char *text;
    size_t count;
} tenebra_event;

/* ----------------------------------------------------------- session -- */

/* One conversation's memory and threads. One thread at a time. */
typedef struct tenebra_session tenebra_session;

typedef struct tenebra_session_options {
    size_t context; /* rows of prompt, latents and answer; 0: the smaller of 8192 and the model's limit */
    size_t threads; /* 0: all processors. Results do not depend on it                                   */
    const char *cache_type; /* keys and values: "f32" (NULL) or "bf16", half the memory and a little less exact */
    size_t image_cache;     /* bytes for embeddings of pictures seen before, 0: 256 MB                    */
    bool no_image_cache;
} tenebra_session_options;

/* `options` may be NULL. The model must outlive the session. Errors: LIMIT, MEMORY. */
TENEBRA_API tenebra_session *tenebra_session_open(const tenebra_model *model,
                                                  const tenebra_session_options *options, tenebra_error *error);

/* Answers a request. What the session still knows is not computed again: pictures with the same pixels, and the
 * rows with which the last question's prompt and answer began, too; the answer does not depend on it. On success
 * *trace is the account of it (`trace` may be NULL).
 * Errors: ARGUMENT (unknown method, option or role), IO, FORMAT, UNSUPPORTED and LIMIT (pictures,
 * context), MISMATCH (no tokenizer), CANCELLED. The session stays usable after every error. */
TENEBRA_API tenebra_code tenebra_session_ask(tenebra_session *session, const tenebra_request *request,
                                             const tenebra_trace **trace, tenebra_error *error);

/* Makes the running ask return CANCELLED soon. From any thread; without a running ask it has no effect. */
TENEBRA_API void tenebra_session_cancel(tenebra_session *session);

/* NULL is allowed. */
TENEBRA_API void tenebra_session_close(tenebra_session *session);

/* The trace as one JSON object in fresh memory, for free(). NULL without memory. */
TENEBRA_API char *tenebra_trace_json(const tenebra_trace *trace);

TENEBRA_API const char *tenebra_version(void);

#ifdef __cplusplus
}
#endif

#endif
