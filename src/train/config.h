/* The configuration of a training run: the keys of its recipe, a YAML file, as a structure.
 *
 * One table (keys.c) defines the keys. Reading, checking, help, and comparing the configuration of a checkpoint with the
 * present one follow from it. A key has its own name and those that the authors of arXiv:2510.12603 and arXiv:2412.06769 and
 * LLaMA-Factory use. Options of the method are keys, too. */
#ifndef TN_TRAIN_CONFIG_H
#define TN_TRAIN_CONFIG_H

#include "base/json.h"
#include "base/option.h"
#include "reason/method.h"
#include "train/optimizer.h"
#include "train/yaml.h"

enum { TN_TRAIN_SETTINGS_MAX = 32, TN_TRAIN_NOTES_MAX = 80 };

/* A key without effect, and the reason. */
typedef struct tn_train_note {
    const char *key, *text;
} tn_train_note;

typedef enum tn_tuning { TN_TUNE_LORA, TN_TUNE_FULL } tn_tuning;

typedef struct tn_train_config {
    /* model and data; texts may be NULL */
    const char *model, *load_model, *shape, *tokenizer;
    const char *output, *save_path, *name;
    const char *data, *train_split, *validation, *validation_split;
    size_t train_limit, validation_limit;
    double validation_fraction;
    const char *topics; /* topics of the samples, separated by commas; NULL: all */
    /* what is taught: method, stages, gradients */
    const char *method, *positions;
    const char *prompt, *validation_prompt;
    size_t step_groups, thoughts, epochs_per_stage, max_latent_stage, first_epoch, cutoff;
    bool pad_latents, latents_off;
    double uniform_prob;
    bool full_latent_grad, full_picks_grad;
    /* optimisation */
    size_t epochs, max_updates, batch_size, accumulation, devices, warmup_updates;
    double lr, weight_decay, beta1, beta2, eps, max_grad_norm, warmup_ratio;
    size_t schedule;       /* tn_schedule_kind */
    bool reset_optimizer, group_by_length;
    size_t seed;
    /* parameters */
    size_t tuning;         /* tn_tuning        */
    size_t lora_rank;
    double lora_alpha, lora_dropout;
    bool lora_rslora;
    const char *lora_target, *trainable;
    bool freeze_vision, freeze_head;
    bool bf16, checkpointing;
    size_t lora_names;     /* 0 as the model, 1 old, 2 new: tn_lora_names */
    size_t save_type;      /* 0 F32, 1 BF16    */
    double init_std;
    const char *fresh; /* globs separated by commas, or NULL */
    /* sizes of images */
    tenebra_image_rule image;
    /* the run */
    size_t save_updates, keep, log_updates, threads, validation_tokens, validation_epochs;
    bool validate;

    tenebra_setting settings[TN_TRAIN_SETTINGS_MAX]; /* options of the method */
    char picks[TN_SETTING_TEXT_SIZE];  /* memory for a value that the wording brings with it */
    size_t setting_count;
    tn_train_note notes[TN_TRAIN_NOTES_MAX]; /* notes about keys without effect */
    size_t note_count;
    bool tuning_given, freeze_vision_given;
    bool exact_by_method;  /* the method, not the recipe, lets gradients through latent steps or picks */
    char *joined_output;   /* memory for `output`, if it is save_path/name */
    tn_yaml yaml;          /* owns all texts */
} tn_train_config;

/* Reads the defaults, then the file, then `overrides` ("key=value"). `path` NULL: only the overrides. Errors: those of the
 * file; ARGUMENT (an unknown key, with the nearest known one; a value of the wrong kind or out of range; each with its line).
 * All mistakes of this kind are reported in one sentence. On failure *config is empty. */
tenebra_code tn_train_config_read(tn_train_config *config, const char *path, const char *const *overrides,
                                  size_t override_count, tenebra_error *error);
/* The same for a text in memory; `name` appears in errors. */
tenebra_code tn_train_config_parse(tn_train_config *config, const void *text, size_t length, const char *name, tenebra_error *error);
void tn_train_config_free(tn_train_config *config);

/* All keys with the values in effect, as an object that the caller owns; NULL if memory runs out. */
json_t *tn_train_config_json(const tn_train_config *config);

/* Compares the values that affect the numbers of a run with those of a checkpoint (written by tn_train_config_json). Errors:
 * MISMATCH, with the first key that differs. */
tenebra_code tn_train_config_compare(const tn_train_config *config, const json_t *saved, const char *where,
                                     tenebra_error *error);

/* ---------------------------------------------------------------- keys -- */

/* The keys; they end with TN_OPTIONS_END, and their record is tn_train_config. */
extern const tn_option tn_train_keys[];

/* Keys of other trainers' files that are accepted without effect, with the reasons; ends with name == NULL. */
typedef struct tn_train_unused {
    const char *name;
    const char *values; /* the accepted values "a|b"; any other one requests something that is not offered and is refused. NULL:
                         * all are accepted */
    const char *note;
} tn_train_unused;
extern const tn_train_unused tn_train_unused_keys[];

/* The note about a data set in another trainer's file that tenebra does not know. */
extern const char *const tn_train_no_set;

/* Keys whose value true selects a method, or switches its latents off; ends with name == NULL. */
typedef struct tn_train_switch {
    const char *name, *method;
    bool latents_off;
} tn_train_switch;
extern const tn_train_switch tn_train_switches[];

/* The method if a file names none, which is the one that the authors' files train. */
extern const char *const tn_train_default_method;

#endif
