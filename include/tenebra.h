/* tenebra: multimodal latent reasoning on vision-language models.
 *
 * This is the only public header. Handles are opaque and come in open/close pairs. Every function that can fail returns a
 * `tenebra_code` (0 is success) and takes a `tenebra_error *` last (may be NULL), which is filled only on failure, with the
 * same code. New objects are handed out through the first argument, which is NULL after a failure. NULL for an object, a
 * structure or a result where nothing else is said is an error ARGUMENT; a function without a code then does nothing and
 * returns NULL or false. */
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

/* --------------------------------------------------------- structures -- */

/* Structures that a caller fills begin with their size. Later versions add members at the end only, so a program works with a later
 * library, and with an earlier one if it requests nothing new. This sets the size and zeroes the rest:
 *     tenebra_request request = TENEBRA_INIT(tenebra_request);
 * A structure without a size is an error ARGUMENT; one with members that are not zero and that this version does not know is
 * UNSUPPORTED. Elements of arrays, and structures inside others, have no size and never change. */
#ifdef __cplusplus
#define TENEBRA_INIT(type) (type{ sizeof(type) })
#else
#define TENEBRA_INIT(type) ((type){ .size = sizeof(type) })
#endif

/* ------------------------------------------------------------- errors -- */

typedef enum tenebra_code {
    TENEBRA_OK = 0,
    TENEBRA_ERROR_ARGUMENT,    /* the caller requested something impossible        */
    TENEBRA_ERROR_IO,          /* the system could not open, read or write         */
    TENEBRA_ERROR_FORMAT,      /* a file or message is not what it claims to be    */
    TENEBRA_ERROR_UNSUPPORTED, /* valid, but not supported here                    */
    TENEBRA_ERROR_MISMATCH,    /* parts do not fit: tensors and config, ids and vocabulary */
    TENEBRA_ERROR_LIMIT,       /* beyond a limit: pixels, context, bytes           */
    TENEBRA_ERROR_MEMORY,      /* an allocation failed                             */
    TENEBRA_ERROR_CANCELLED    /* the caller's callback or tenebra_session_cancel stopped the request */
} tenebra_code;

/* One failure: its kind, its place (file, option or tensor), and a sentence that says what is wrong and, if possible,
 * what to do. Always zero-terminated. */
typedef struct tenebra_error {
    tenebra_code code;
    char where[256];
    char sentence[512];
} tenebra_error;

/* ------------------------------------------------------------- model -- */

/* Read-only after opening: any number of sessions in any number of threads may share a model. Weights are mapped, not
 * copied. To replace them while a model is open, write a new file beside the old one and rename it. If a file is
 * overwritten, this is detected at the next span of rows, and every later ask fails with IO; a truncated file also ends
 * the process, unless tenebra_faults_catch was called. */
typedef struct tenebra_model tenebra_model;

/* An adapter on top of a model: a directory as PEFT writes it (adapter_model.safetensors, adapter_config.json). */
typedef struct tenebra_adapter {
    const char *directory;
    double strength; /* factor on its additions; 1: as trained */
    size_t pass;     /* 0: always; otherwise only in this pass, from 1, of a method with several passes */
} tenebra_adapter;

typedef struct tenebra_model_options {
    size_t size;
    const char *kernels;       /* name of a kernel set; NULL: TENEBRA_KERNELS from the environment, or else the best
                                * that this machine runs */
    const char *chat_template; /* name of a template; NULL: the directory's own                     */
    const tenebra_adapter *adapters; /* [adapter_count], borrowed during the call; they add up      */
    size_t adapter_count;
    const char *base;          /* directory with everything but the weights, which `directory` then has: a file
                                * (a checkpoint, such as model.pth) or a directory; NULL: `directory` has all */
    double lora_alpha;         /* lora_alpha of a low-rank adapter in the files of the weights, which do not say it;
                                * 0: that of the published training program of IVT-LR, if it wrote the file   */
} tenebra_model_options;

/* Opens a model directory as Hugging Face publishes it: config.json, model.safetensors or pytorch_model.bin (or shards with
 * their index), tokenizer.json, preprocessor_config.json. Weights are mapped, not copied. `options` may be NULL. Errors: IO, FORMAT,
 * UNSUPPORTED, MISMATCH (a missing, spare or misshapen tensor, by name). */
TENEBRA_API tenebra_code tenebra_model_open(tenebra_model **model, const char *directory, const tenebra_model_options *options,
                                            tenebra_error *error);

/* A sentence that lists, by file, the keys of the model's files that this program does not know or does not follow,
 * such as a repetition penalty. NULL if there are none. It lives as long as the model. */
TENEBRA_API const char *tenebra_model_note(const tenebra_model *model);

/* Closes a model whose sessions are all closed. NULL is allowed. */
TENEBRA_API void tenebra_model_close(tenebra_model *model);

/* After this call, a truncated weight file is an error IO of the current request or training; without it, the process
 * ends by SIGBUS. It installs a signal handler for the whole process: call it once, before threads start, and only in a
 * program that does not handle SIGBUS itself. The library never calls it. Accesses after the end of any mapped file
 * then read zeros; other causes of SIGBUS still end the process. False if the system refuses. */
TENEBRA_API bool tenebra_faults_catch(void);

/* ----------------------------------------------------------- methods -- */

/* Methods by index: the name, NULL past the last, and a line about it (`summary` may be NULL). Threads: any. */
TENEBRA_API const char *tenebra_method_at(size_t index, const char **summary);

/* One option of a reasoning method. */
typedef struct tenebra_option {
    size_t size;
    const char *name;     /* e.g. "n-latent"                               */
    const char *argument; /* "N", "TEXT", or the accepted words as "a|b|c" */
    const char *value;    /* the default                                   */
    const char *help;     /* one line                                      */
    bool is_number;       /* a whole number, from minimum to maximum       */
    double minimum, maximum;
} tenebra_option;

/* Fills *option with an option of a method; both indices are from 0. False past the last, or without a size. Threads: any. */
TENEBRA_API bool tenebra_method_option(size_t method, size_t index, tenebra_option *option);

/* ----------------------------------------------------------- request -- */

typedef enum tenebra_part_kind {
    TENEBRA_PART_TEXT,       /* text: UTF-8, length bytes (0: up to its zero). Never becomes control tokens */
    TENEBRA_PART_IMAGE_FILE, /* text: path of a JPEG, PNG or WebP file                                     */
    TENEBRA_PART_IMAGE_BYTES /* bytes, length: such a file in memory; text: its name in errors, may be NULL */
} tenebra_part_kind;

typedef struct tenebra_part {
    tenebra_part_kind kind;
    const char *text;
    const void *bytes;
    size_t length;
    /* Sizes of an image, as in the parts of qwen_vl_utils; 0: not given. If any is given, the image is first resized by
     * that library's rule, then by the model's own, and the request's sizes do not apply to it. */
    size_t resized_width, resized_height; /* both or none: about this size                   */
    size_t min_pixels, max_pixels;        /* of the resized image; not with the two above    */
} tenebra_part;

typedef struct tenebra_message {
    const char *role; /* "system", "user" or "assistant"; or "bare", for a single message that becomes the prompt without
                       * a chat template: its texts and images, and no other token */
    const tenebra_part *parts;
    size_t part_count;
} tenebra_message;

typedef struct tenebra_setting {
    const char *name, *value;
} tenebra_setting;

/* A solved question before the question that is asked, as a user's turn and a reply. The method chooses the content of
 * the reply: the answer alone, or also the text that it shows before the answer. */
typedef struct tenebra_example {
    const tenebra_part *parts; /* [part_count] the question with its images, in the same wording as the one asked */
    size_t part_count;
    const char *answer;        /* a sentence, e.g. "Therefore, the answer is B" */
    const char *label;         /* the label, e.g. "B"; NULL: the answer         */
    const char *rationale;     /* NULL: none                                    */
    const char *scene_graph;   /* of the images, JSON; NULL: none               */
} tenebra_example;

/* Numbers for a method, by the name in the help of its option. "latents", for latent-text=given: [steps, hidden_size], which
 * replace the hidden state of each step, e.g. with that of another question's trace. "reconstruct", with request.reconstruct, for any
 * method: [steps, hidden_size], from which the image is also reconstructed, to compare. */
typedef struct tenebra_input {
    const char *name;
    const float *values; /* [rows, columns], row by row */
    size_t rows, columns;
} tenebra_input;

struct tenebra_event;

/* Called during an answer by the thread that asked. Returning false cancels. It must not close the session. */
typedef bool tenebra_event_fn(void *user, const struct tenebra_event *event);

/* How tokens are sampled. Zeroed: greedily. */
typedef struct tenebra_sampling {
    double temperature; /* 0: greedy, and the next two are not used   */
    size_t top_k;       /* 0: all                                     */
    double top_p;       /* 0: 1                                       */
    uint64_t seed;      /* of sampling and of a method's random draws */
} tenebra_sampling;

/* The sizes to which images are resized. Zeroed: the model's own rule. A bound may be given in one form only, otherwise
 * ARGUMENT. */
typedef struct tenebra_image_rule {
    size_t width, height;          /* resize every image to this; 0: by the bounds    */
    size_t min_tokens, max_tokens; /* embeddings of an image; 0: the model's own      */
    size_t min_pixels, max_pixels; /* the same in pixels of the resized image         */
} tenebra_image_rule;

/* An initialised request with messages is valid: a direct, greedy answer. */
typedef struct tenebra_request {
    size_t size;
    const tenebra_message *messages;
    size_t message_count;
    const char *method;              /* NULL: "direct"                                       */
    const tenebra_setting *settings; /* of the method's options                              */
    size_t setting_count;
    const tenebra_example *example;  /* NULL: none; ARGUMENT if the method accepts none      */
    const char *answer_turn;  /* the user's turn after the answer, e.g. a request for one of the options; the reply to
                               * it is the answer. NULL: no such turn */
    const char *positions;    /* "sequential", "mrope", or NULL: as the method defines        */
    size_t max_tokens;        /* 0: 512                                                       */
    tenebra_sampling sampling;
    const char *const *stops; /* generation ends before the first of these texts              */
    size_t stop_count;
    const int32_t *forced;    /* [forced_count] tokens that replace the first sampled ones of all passes, e.g. those of
                               * a trace, to repeat it; each must be an id of the model */
    size_t forced_count;
    tenebra_image_rule image; /* for parts without their own sizes                            */
    bool work;                /* also send events TENEBRA_EVENT_WORK                           */
    bool scores;              /* return the attention to every image embedding, of the prompt and of each step */
    bool ignore_orientation;  /* do not apply the EXIF orientation, as data set scripts do     */
    size_t lens;              /* tokens to read from each latent through the head, at most 32  */
    const tenebra_input *inputs; /* [input_count] numbers for the method; those that it does not ask for are ignored */
    size_t input_count;
    bool recompute;           /* run all rows again at every step, as the reference does (slow) */
    bool no_reuse;            /* run the complete prompt, even if the session's last question began with the same rows.
                               * The answer is the same, to the last bit */
    tenebra_event_fn *on_event;
    void *user;
    bool reconstruct;         /* reconstruct the first image from the latent text of every step (tenebra_reconstruction). Costs some time:
                               * pictures are sampled with 50 predictions of a small network */
} tenebra_request;

/* ---------------------------------------------------------- defaults -- */

/* Fills an initialised request with what the model was trained for, from training.json of its directory or of an adapter:
 * method, settings and positions, sizes of images; without such a file nothing is filled. To ask what `tenebra run` asks,
 * add messages:
 *     tenebra_request request = TENEBRA_INIT(tenebra_request);
 *     tenebra_model_defaults(model, &request);
 * The texts live as long as the model; without a model nothing is filled. Threads: any. */
TENEBRA_API void tenebra_model_defaults(const tenebra_model *model, tenebra_request *request);

/* A question about one or more images. */
typedef struct tenebra_question {
    size_t size;
    const char *text;
    const char *const *images;  /* [image_count] paths of JPEG, PNG or WebP files            */
    size_t image_count;
    const char *const *choices; /* [choice_count] answers to choose from, at most 26; 0: none */
    size_t choice_count;
    const char *preset; /* a wording by name. NULL: with choices the one that the model was trained on, or else the
                         * default; without choices the text is not changed */
    const char *system; /* a system message before it; NULL: none                             */
} tenebra_question;

/* Wordings by index: the name, NULL past the last, and a line about it (`summary` may be NULL). Threads: any. */
TENEBRA_API const char *tenebra_preset_at(size_t index, const char **summary);

/* The messages of a request, made from a question. */
typedef struct tenebra_prompt tenebra_prompt;

/* Writes the question as `tenebra run` does. The prompt borrows the question's texts, which must live as long as it
 * does. `model` may be NULL; then nothing is known about its training. Errors: ARGUMENT (no text, an unknown wording,
 * more than 26 choices), MEMORY. Threads: any. */
TENEBRA_API tenebra_code tenebra_prompt_make(tenebra_prompt **prompt, const tenebra_model *model,
                                             const tenebra_question *question, tenebra_error *error);

/* The prompt's messages, *count of them (`count` may be NULL), borrowed from the prompt. Without a prompt, NULL and 0. */
TENEBRA_API const tenebra_message *tenebra_prompt_messages(const tenebra_prompt *prompt, size_t *count);

/* NULL is allowed. */
TENEBRA_API void tenebra_prompt_free(tenebra_prompt *prompt);

/* ------------------------------------------------------------- trace -- */

/* A picked image embedding: its index, its score, and the rectangle that it covers in the original image (after its
 * EXIF orientation), in pixels. */
typedef struct tenebra_pick {
    size_t image; /* from 0, index in `images` of the trace */
    size_t index; /* of the image's embeddings, row-major */
    double score; /* attention, mean over layers and heads */
    double x0, y0, x1, y1;
} tenebra_pick;

typedef struct tenebra_lens {
    int32_t token;
    const char *text;   /* as the tokenizer prints it; "" without a tokenizer */
    double probability; /* softmax over the vocabulary                        */
} tenebra_lens;

/* One latent step, or an insertion of embeddings that a method fed again in the middle of an answer. An insertion has
 * no latent text: `hidden` is NULL, hidden_norm and hidden_cosine are NaN. */
typedef struct tenebra_step {
    const tenebra_pick *picks; /* in the order in which they were inserted */
    size_t pick_count;
    double attention_ratio; /* from the step's last row: attention to the step's picks over attention to all latent text
                             * so far; NaN if either is missing. IVT-LR, figure 5 */
    double attention_focus; /* 1 / (entropy of the attention among the step's picks + 1e-6); NaN without picks */
    double hidden_norm;     /* Euclidean norm of the latent text, before any intervention                */
    double hidden_cosine;   /* cosine between it and that of the step before; NaN in the first step      */
    const float *hidden;    /* [hidden_size] the latent text itself: the hidden state, before any intervention */
    size_t hidden_size;
    const tenebra_lens *lens;
    size_t lens_count;
    const float *scores; /* [score_count] with request.scores: attention to each image embedding of the prompt, from the
                          * row before the step; as in picks. NULL if not requested */
    size_t score_count;
    double milliseconds;
    /* With request.reconstruct, unless trace.reconstruction says why not: the first image of the question, reconstructed from the latent
     * text of this step and all before it, with trace.reconstruction->side rows and columns [side, side, 3] RGB; otherwise NULL. The error
     * of this picture is the mean of squared differences in units of the variance of training images: 1 is that of their mean. */
    const unsigned char *reconstruction;
    double reconstruction_error;
} tenebra_step;

/* Reconstruction of the first image of the question from latent text alone, by a network that was trained for it (docs/methods.md). Errors
 * and losses are NaN where there are none. Those with "other" are from the vectors of the input "reconstruct" instead, e.g. of another
 * question: if they are as small, what is reconstructed is not in the latent text. */
typedef struct tenebra_reconstruction {
    const char *note; /* why the steps have no pictures; NULL: they have                                                         */
    size_t side;      /* of the pictures                                                                                         */
    const unsigned char *seen; /* [side, side, 3] RGB: the image as the model sees it, in that size; NULL if there is a note      */
    double error, other_error; /* of the reconstruction from all steps, as in tenebra_step                                       */
    double loss, other_loss;   /* mean squared error of the predicted noise (of a regression: that of the target), fixed draws   */
} tenebra_reconstruction;

/* An image as the model reads it: its original size (after its orientation, without a frame that was removed), and its embeddings
 * in a grid, row by row. */
typedef struct tenebra_image {
    size_t width, height; /* pixels of the part that was read                                */
    size_t rows, columns;
    size_t source; /* index of the request's image that this is, or is drawn on; SIZE_MAX: an image of the example, or
                    * one that the method made */
    size_t x, y;    /* where that part begins in the original image: not 0 if a frame was removed there, or the model sees a middle part */
} tenebra_image;

typedef enum tenebra_outcome {
    TENEBRA_OUTCOME_SHOWN,   /* the region was shown                                                 */
    TENEBRA_OUTCOME_INVALID, /* not a valid request, or a region outside the image                   */
    TENEBRA_OUTCOME_REFUSED  /* no rounds, images or rows were left                                  */
} tenebra_outcome;

/* A region of an image that a reply requested. */
typedef struct tenebra_region {
    size_t pass; /* of the reply, from 0 */
    tenebra_outcome outcome;
    size_t image;          /* SHOWN: the image from which it was cut...                            */
    double x0, y0, x1, y1; /* ...and the rectangle, in pixels of that original image; otherwise NaN */
} tenebra_region;

typedef enum tenebra_note_kind { TENEBRA_NOTE_COUNT, TENEBRA_NOTE_REGIONS } tenebra_note_kind;

/* Something that only some methods record about an answer, under a name (docs/methods.md). */
typedef struct tenebra_note {
    const char *name;
    tenebra_note_kind kind;
    size_t count;                  /* the number itself, or the number of regions */
    const tenebra_region *regions; /* [count] of REGIONS                          */
} tenebra_note;

typedef enum tenebra_finish {
    TENEBRA_FINISH_END_TOKEN, /* the model ended its answer */
    TENEBRA_FINISH_STOP_TEXT, /* one of the stop texts      */
    TENEBRA_FINISH_LENGTH     /* max_tokens, the context, or the rounds of a dialogue */
} tenebra_finish;

/* One prompt, or a further turn, and the text that was generated after it. */
typedef struct tenebra_pass {
    const char *prompt;   /* the template's text, with each image as one placeholder; of a turn only its addition. "" if
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
    const tenebra_setting *settings; /* all options of the method, as in effect */
    size_t setting_count;
    tenebra_sampling sampling; /* as in effect: top_p is not 0 */
    size_t threads;
    const char *text; /* the answer, UTF-8, without control tokens */
    const int32_t *tokens;
    size_t token_count; /* sampled tokens of all passes, end tokens included */
    tenebra_finish finish;
    const tenebra_step *steps;
    size_t step_count;
    const tenebra_image *images; /* in the order of the conversation */
    size_t image_count;
    const float *prompt_scores; /* [prompt_score_count] with request.scores: attention of the prompt's last row to each
                                 * image embedding, image by image, mean over layers and heads; otherwise NULL */
    size_t prompt_score_count;
    size_t prompt_tokens;      /* rows of the last prompt, image embeddings included */
    size_t image_tokens;       /* image embeddings in the prompt                 */
    size_t latent_steps;       /* latent passes                                  */
    size_t injected_tokens;    /* rows fed after the prompt that were not sampled: image embeddings fed again, with
                                * their borders, and the messages of further turns */
    size_t prompt_reused;      /* rows of the prompt that were in the cache from the last question */
    size_t vision_cached;      /* images whose embeddings were cached             */
    size_t positions_computed; /* rows that went through the decoder              */
    size_t passes;             /* prompts and turns that were run                 */
    const tenebra_pass *pass;  /* [passes] each of them; the last one's text is the answer */
    size_t images_added;       /* images that the method added                    */
    const tenebra_note *notes; /* [note_count] what the method recorded besides   */
    size_t note_count;
    const char *note;          /* what the method requires of the model, e.g. training; NULL: nothing */
    const char *cache_type;    /* number type of keys and values, "f32" or "bf16" */
    double decode_ms;          /* reading and resizing images, making patches     */
    double vision_ms, prefill_ms, latent_ms, generation_ms, total_ms;
    const tenebra_reconstruction *reconstruction; /* with request.reconstruct; otherwise NULL */
} tenebra_trace;

typedef enum tenebra_event_kind {
    TENEBRA_EVENT_PROMPT, /* the prompt is in the cache            */
    TENEBRA_EVENT_STEP,   /* a latent step ended: step, index      */
    TENEBRA_EVENT_TEXT,   /* new text of the answer: text, complete UTF-8 characters */
    TENEBRA_EVENT_DRAFT,  /* new text before the answer: a rationale, a reply that calls a tool */
    TENEBRA_EVENT_WORK    /* with request.work: before layer `index` of `count` of the work that `text` names, "image"
                           * (in the vision tower) or "prompt" (in the decoder) */
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
    size_t size;
    size_t context; /* rows of prompt, latents and answer; 0: the smaller of 8192 and the model's limit */
    size_t threads; /* 0: all processors. Results do not depend on it                                   */
    const char *cache_type; /* keys and values: "f32" (NULL) or "bf16", half the memory and a little less exact */
    size_t image_cache;     /* bytes for embeddings of images seen before, 0: 256 MB                      */
    bool no_image_cache;
} tenebra_session_options;

/* `options` may be NULL. The model must outlive the session. Errors: LIMIT, MEMORY. */
TENEBRA_API tenebra_code tenebra_session_open(tenebra_session **session, const tenebra_model *model,
                                              const tenebra_session_options *options, tenebra_error *error);

/* Answers a request. The session does not compute again what it still has: embeddings of images with the same pixels,
 * and rows with which the last question's prompt and answer also began. The answer does not depend on this. On success
 * *trace describes the answer (`trace` may be NULL). Errors: ARGUMENT (unknown method, option or role; the session is
 * already answering a request, also the one whose callback asks), IO, FORMAT, UNSUPPORTED and LIMIT (images, context),
 * MISMATCH (no tokenizer), CANCELLED. The session stays usable after every error. */
TENEBRA_API tenebra_code tenebra_session_ask(tenebra_session *session, const tenebra_request *request,
                                             const tenebra_trace **trace, tenebra_error *error);

/* Makes the running ask return CANCELLED soon. Threads: any. Without a running ask it has no effect. */
TENEBRA_API void tenebra_session_cancel(tenebra_session *session);

/* NULL is allowed. */
TENEBRA_API void tenebra_session_close(tenebra_session *session);

/* The note of that name; NULL if there is none. */
TENEBRA_API const tenebra_note *tenebra_trace_note(const tenebra_trace *trace, const char *name);

/* The trace as one JSON object, which the caller frees. NULL without a trace or without memory. */
TENEBRA_API char *tenebra_trace_json(const tenebra_trace *trace);

TENEBRA_API const char *tenebra_version(void);

#ifdef __cplusplus
}
#endif

#endif
