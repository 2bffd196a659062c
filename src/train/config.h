/* What a training run is told: the keys of its YAML file, as a structure.
 *
 * The table of keys (keys.c) is all there is about them: reading, checking, help, comparing a checkpoint's
 * configuration with the present one. A key is known by its own name and by those that the authors of
 * arXiv:2510.12603 and arXiv:2412.06769 and LLaMA-Factory use. Options of the method may stand as keys, too. */
#ifndef TN_TRAIN_CONFIG_H
#define TN_TRAIN_CONFIG_H

#include "base/json.h"
#include "base/option.h"
#include "train/optimizer.h"
#include "train/yaml.h"

enum { TN_TRAIN_SETTINGS_MAX = 32, TN_TRAIN_NOTES_MAX = 80 };

/* A key without effect, and why. */
typedef struct tn_train_note {
    const char *key, *text;
} tn_train_note;

typedef enum tn_tuning { TN_TUNE_LORA, TN_TUNE_FULL } tn_tuning;

typedef struct tn_train_config {
    /* what is trained; texts may be NULL */
    const char *model, *load_model, *shape, *tokenizer;
    const char *output, *save_path, *name;
    const char *data, *train_split, *validation, *validation_split;
    size_t train_limit, validation_limit;
    double validation_fraction;
    const char *topics; /* of the training set; NULL: all */
    /* the lesson */
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
    const char *fresh; /* globs with commas between, or NULL */
    /* pictures */
    tenebra_image_rule image;
    /* the run */
    size_t save_updates, keep, log_updates, threads, validation_tokens, validation_epochs;
    bool validate;

    tenebra_setting settings[TN_TRAIN_SETTINGS_MAX]; /* of the method's options */
    size_t setting_count;
    tn_train_note notes[TN_TRAIN_NOTES_MAX]; /* about keys that have no effect here */
    size_t note_count;
    bool tuning_given, freeze_vision_given;
    char *joined_output;   /* memory behind output, where it is save_path/name */
    tn_yaml yaml;          /* owns all texts */
} tn_train_config;

/* Defaults, then the file, then `overrides` ("key=value"). `path` NULL: overrides alone. Errors: those of the
 * file, ARGUMENT (an unknown key: names the nearest one; a value of the wrong kind or out of range; the line where
 * it stands). All mistakes of this kind are told in one sentence. On failure *config is empty. */
tenebra_code tn_train_config_read(tn_train_config *config, const char *path, const char *const *overrides,
                                  size_t override_count, tenebra_error *error);
/* The same of a text in memory; `name` stands in errors. */
tenebra_code tn_train_config_parse(tn_train_config *config, const void *text, size_t length, const char *name, tenebra_error *error);
void tn_train_config_free(tn_train_config *config);

/* All keys with the values in effect, in fresh memory; NULL without. */
json_t *tn_train_config_json(const tn_train_config *config);

/* Compares the values that decide the numbers of a run with those of a checkpoint (as tn_train_config_json wrote
 * them). Errors: MISMATCH, naming the first key that differs. */
tenebra_code tn_train_config_compare(const tn_train_config *config, const json_t *saved, const char *where,
                                     tenebra_error *error);

/* ---------------------------------------------------------------- keys -- */

/* Ends with TN_OPTIONS_END; their record is tn_train_config. */
extern const tn_option tn_train_keys[];

/* Keys of other trainers' files that are accepted and do nothing here, and why; ends with name == NULL. */
typedef struct tn_train_unused {
    const char *name;
    const char *values; /* "a|b": with any other value the key asks for something that is not offered, and is refused; NULL: any */
    const char *note;
} tn_train_unused;
extern const tn_train_unused tn_train_unused_keys[];

/* About a set of another trainer's file that is none of ours. */
extern const char *const tn_train_no_set;

/* Keys that choose a method or its absence of latents by being true; ends with name == NULL. */
typedef struct tn_train_switch {
    const char *name, *method;
    bool latents_off;
} tn_train_switch;
extern const tn_train_switch tn_train_switches[];

/* Taught where a file names no method: what the authors' files, which name none, train. */
extern const char *const tn_train_default_method;

#endif
