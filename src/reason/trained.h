/* What training left beside a model or an adapter (training.json): how its weights are asked as they were trained. */
#ifndef TN_REASON_TRAINED_H
#define TN_REASON_TRAINED_H

#include "base/notes.h"
#include "data/sample.h"
#include "reason/method.h"

#include <jansson.h>

typedef struct tn_trained {
    const char *preset;    /* the wording; NULL: nothing is known of it    */
    const char *positions; /* NULL: as the method defines                  */
    const char *method;    /* that was taught; NULL: nothing is known      */
    tenebra_setting settings[TN_METHOD_OPTIONS_MAX]; /* of that method, among them those that training implies */
    size_t setting_count;
    bool without_cue;      /* rationales were taught without words that ask for them, so none ask for them under any method */
    char latents[TN_SETTING_TEXT_SIZE]; /* text of the number of latent steps           */
    tenebra_image_rule image; /* of pictures; zeroed: nothing is known */
    bool of_adapter;       /* an adapter tells it, whose model may have another rule for pictures */
    tn_notes notes;        /* keys that this program does not know       */
    json_t *about;         /* owns the other texts                         */
    tenebra_request request; /* all of it as a request without messages    */
} tn_trained;

/* Reads the file of the last adapter that has one, else that of the model. Without a file nothing is known. Errors: FORMAT (a
 * file that is damaged, or names a method, a wording or positions that do not exist here; it says which), IO, LIMIT, MEMORY;
 * *trained is empty then. Free with tn_trained_free. The record must not move after it was read. */
tenebra_code tn_trained_read(tn_trained *trained, const char *model, const tenebra_adapter *adapters, size_t adapter_count,
                             tenebra_error *error);

/* What a text of `size` bytes says, added to an empty *trained; "training.json" stands in errors. A digest in it must fit. Free it
 * also after an error. */
tenebra_code tn_trained_parse(tn_trained *trained, const void *text, size_t size, tenebra_error *error);
void tn_trained_free(tn_trained *trained);

/* The size of images in training, as the end of a sentence "images are resized ..."; NULL if it is the one that the model's
 * directory says anyway. */
enum { TN_TRAINED_PICTURES_SIZE = 96 };
const char *tn_trained_pictures(const tn_trained *trained, char words[TN_TRAINED_PICTURES_SIZE]);

/* The value that training had for an option of the method that was taught; NULL: it says nothing, or `method` is another, which
 * has its own defaults. Only how rationales are asked for (its cue) belongs to the model's wording, and to all methods. */
const char *tn_trained_setting(const tn_trained *trained, const char *method, const char *name);

/* The wording of questions with choices: that of training, else the standard one. `trained` may be NULL. */
const tn_prompt_preset *tn_trained_wording(const tn_trained *trained);

#endif
