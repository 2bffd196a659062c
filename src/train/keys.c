/* The keys of a training configuration. Other trainers' names stand here and nowhere else. */
#include "train/config.h"

#define TN_RECORD tn_train_config
#define TEXT(key, other, field, standard, may_change, text) \
    TN_TEXT(0, key, field, "TEXT", standard, text, .aliases = (other), .free = (may_change))
#define SIZE(key, other, field, standard, low, high, may_change, text) \
    TN_SIZE(0, key, field, "N", standard, low, high, text, .aliases = (other), .free = (may_change))
#define NUMBER(key, other, field, standard, low, high, may_change, text) \
    TN_NUMBER(0, key, field, "X", standard, low, high, text, .aliases = (other), .free = (may_change))
#define BOOL(key, other, field, standard, may_change, text) \
    TN_OPTION_ROW(0, key, TN_OPTION_SWITCH, offsetof(tn_train_config, field), NULL, standard, 0, 0, text, .aliases = (other), \
                  .free = (may_change))
#define CHOICE(key, other, field, standard, list, may_change, text) \
    TN_CHOICE(0, key, field, list, standard, text, .aliases = (other), .free = (may_change))

const tn_option tn_train_keys[] = {
    TEXT("model", " model_id model_name_or_path ", model, NULL, true, "model directory to start from"),
    TEXT("load_model_path", NULL, load_model, NULL, true, "start from this directory instead of `model`"),
    TEXT("shape", NULL, shape, NULL, false, "start from random weights of this shape (tenebra bench --shape lists them)"),
    TEXT("tokenizer", " tokenizer_name_or_path ", tokenizer, NULL, true, "directory with the tokenizer for `shape`"),
    TEXT("output", " output_dir ", output, NULL, true, "directory of the run"),
    TEXT("save_path", NULL, save_path, NULL, true, "where `output` is not given: save_path/name"),
    TEXT("name", " run_name ", name, NULL, true, "name of the run"),
    TEXT("data", " train_path dataset ", data, NULL, true, "training set as NAME:DIRECTORY"),
    TEXT("train_split", NULL, train_split, "train", false, "its split"),
    TEXT("val_data", " val_path eval_dataset ", validation, NULL, true, "validation set; default: the training set's directory"),
    TEXT("val_split", NULL, validation_split, NULL, true, "its split; default: dev"),
    NUMBER("val_fraction", " val_size ", validation_fraction, "0", 0, 0.9, false,
           "hold this share of the training split out and validate on it; 0: validate on val_split"),
    SIZE("max_samples", NULL, train_limit, "0", 0, 1e9, false, "only the first samples of the training set; 0: all"),
    TEXT("topics", NULL, topics, NULL, false, "only samples with these topics, with commas between, in training and validation"),
    SIZE("val_samples", " max_eval_samples ", validation_limit, "200", 0, 1e9, true, "questions of a validation; 0: all"),

    TEXT("method", NULL, method, NULL, false, "what is taught (tenebra run --help lists the methods)"),
    TEXT("positions", NULL, positions, NULL, false, "sequential or mrope; default: as the method defines"),
    TEXT("prompt", NULL, prompt, "ivtlr-train", false, "wording of the questions (tenebra data show lists them)"),
    TEXT("val_prompt", NULL, validation_prompt, NULL, true, "wording at validation; default: as trained"),
    SIZE("step_groups", NULL, step_groups, "3", 0, 1000, false, "a rationale becomes at most so many steps; 0: no limit"),
    SIZE("c_thought", NULL, thoughts, "1", 1, 64, false, "latents that stand for one step"),
    SIZE("epochs_per_stage", NULL, epochs_per_stage, "4", 1, 1e6, false, "epochs before the next step becomes latent"),
    SIZE("max_latent_stage", NULL, max_latent_stage, "3", 0, 64, false, "last stage that adds latents; later ones drop all steps"),
    BOOL("pad_latent_to_max", NULL, pad_latents, "true", false, "after the last stage: samples of few steps get as many latents as others"),
    NUMBER("uniform_prob", NULL, uniform_prob, "0", 0, 1, false, "probability of a random stage for a sample"),
    SIZE("resume", NULL, first_epoch, "0", 0, 1e6, false, "first epoch, to skip early stages (a killed run goes on with --resume)"),
    SIZE("cutoff_len", " max_length max_seq_length ", cutoff, "0", 0, 1e7, false,
         "rows of a sample at most: last steps are dropped; 0: no limit"),
    BOOL("latent_grad_full", NULL, full_latent_grad, "false", false,
         "let the gradient through latent hidden states, as arXiv:2412.06769 does"),
    BOOL("picks_grad_full", NULL, full_picks_grad, "false", false, "let the gradient through picked image embeddings"),

    SIZE("num_epochs", " num_train_epochs epochs ", epochs, "16", 0, 1e6, true, "epochs in all, those of `resume` included"),
    SIZE("max_updates", " max_steps ", max_updates, "0", 0, 1e12, true, "end after so many updates; 0: after the epochs"),
    SIZE("batch_size", " batch_size_training per_device_train_batch_size ", batch_size, "2", 1, 65536, false, "samples of one forward"),
    SIZE("gradient_accumulation_steps", NULL, accumulation, "8", 1, 65536, false, "forwards of one update, on one device"),
    SIZE("num_devices", NULL, devices, "1", 1, 65536, false,
         "take so many times more forwards into an update, as a run on that many devices does"),
    NUMBER("lr", " learning_rate ", lr, "4e-5", 0, 10, false, "learning rate"),
    NUMBER("weight_decay", NULL, weight_decay, "0.01", 0, 100, false, "decoupled decay of matrices"),
    NUMBER("adam_beta1", " beta1 ", beta1, "0.9", 0, 0.999999, false, "of AdamW"),
    NUMBER("adam_beta2", " beta2 ", beta2, "0.999", 0, 0.999999999, false, "of AdamW"),
    NUMBER("adam_epsilon", " eps ", eps, "1e-8", 0, 0.1, false, "of AdamW"),
    NUMBER("max_grad_norm", NULL, max_grad_norm, "0.7", 0, 1e9, false, "global norm that gradients are clipped to; 0: never"),
    CHOICE("lr_scheduler_type", NULL, schedule, "constant", "constant|linear|cosine|constant_with_warmup", false,
         "learning rate over the run"),
    NUMBER("warmup_ratio", NULL, warmup_ratio, "0", 0, 1, false, "part of the updates over which the rate rises"),
    SIZE("warmup_steps", NULL, warmup_updates, "0", 0, 1e12, false, "the same as a number of updates"),
    BOOL("reset_optimizer", NULL, reset_optimizer, "false", false, "forget the moments where a new stage begins"),
    BOOL("group_by_length", NULL, group_by_length, "false", false, "batches of samples of similar length"),
    SIZE("seed", NULL, seed, "0", 0, 9.3e18, false, "of order, stages, dropout and random weights"),

    CHOICE("finetuning_type", NULL, tuning, NULL, "lora|full", false, "default: lora, or full from a shape"),
    SIZE("lora_rank", " lora_r ", lora_rank, "64", 1, 65536, false, "rank of the adapter"),
    NUMBER("lora_alpha", NULL, lora_alpha, "16", 0, 1e6, false, "its scale is alpha / rank"),
    NUMBER("lora_dropout", NULL, lora_dropout, "0.05", 0, 0.999, false, "dropout in front of it"),
    BOOL("use_rslora", NULL, lora_rslora, "false", false, "scale alpha / sqrt(rank)"),
    TEXT("lora_target", " lora_target_modules ", lora_target, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", false,
         "modules with an adapter, or all"),
    CHOICE("lora_names", NULL, lora_names, "base", "base|old|new", true,
           "names of modules in the adapter: old (transformers up to 4.51), new (from 4.52), base: as the model directory"),
    TEXT("trainable", NULL, trainable, NULL, false, "full: only parameters whose names fit one of these globs, e.g. model.layers.*"),
    BOOL("freeze_vision_tower", NULL, freeze_vision, NULL, false, "full: leave the vision tower; default: true, from a shape false"),
    BOOL("freeze_embeddings", NULL, freeze_head, "false", false, "full: leave embeddings and head"),
    BOOL("bf16", NULL, bf16, "false", false, "networks read weights rounded to bf16; masters stay f32"),
    BOOL("gradient_checkpointing", NULL, checkpointing, "false", false, "keep less for the backward, compute more"),
    CHOICE("save_dtype", NULL, save_type, "f32", "f32|bf16", true, "number type of trained weights in the model directories written"),
    NUMBER("init_std", " initializer_range ", init_std, "0.02", 0, 10, false,
           "from a shape, or fresh: deviation of random matrices; 0: 1 / sqrt(inputs)"),
    TEXT("fresh", NULL, fresh, NULL, false, "full: parameters whose names fit one of these globs start from random values"),

    SIZE("image_max_pixels", NULL, image.max_pixels, "0", 0, 1e9, false, "pictures are resized to at most this; 0: the model's rule"),
    SIZE("image_min_pixels", NULL, image.min_pixels, "0", 0, 1e9, false, "and at least this"),
    TN_SIDES(0, "image_size", image.width, "WIDTHxHEIGHT of all pictures, e.g. 280x280"),

    SIZE("save_steps", NULL, save_updates, "0", 0, 1e12, true, "a checkpoint every so many updates beside those at epoch ends; 0: none"),
    SIZE("save_total_limit", NULL, keep, "2", 1, 1e6, true, "checkpoints kept"),
    SIZE("logging_steps", NULL, log_updates, "10", 1, 1e9, true, "updates between lines on stderr; the log file has all"),
    SIZE("threads", NULL, threads, "0", 0, 1024, true, "0: all processors"),
    SIZE("val_epochs", NULL, validation_epochs, "1", 1, 1e6, true, "epochs between validations; a stage always ends with one"),
    BOOL("validate", NULL, validate, "true", true, "answer validation questions"),
    SIZE("val_tokens", NULL, validation_tokens, "256", 1, 65536, true, "tokens of such an answer at most"),
    TN_OPTIONS_END
};

const tn_train_unused tn_train_unused_keys[] = {
    { "project", NULL, "names a page of a web service" },
    { "debug", "false", "max_samples takes fewer samples" },
    { "only_eval", "false", "this command only trains; tenebra eval asks" },
    { "local", NULL, "models are always read from a directory" },
    { "local_path", NULL, "models are always read from a directory" },
    { "special_token", "false", "latents are rows, not tokens" },
    { "save_only_improve", NULL, "the best model of each stage is always kept beside the checkpoints" },

    { "template", NULL, "the chat template is the model's own" },
    { "stage", "sft", "only supervised training is offered" },
    { "do_train", "true", "this command only trains" },
    { "do_eval", NULL, "validate decides" },
    { "do_predict", "false", "this command only trains; tenebra eval asks" },
    { "dataset_dir", NULL, "data names the directory" },
    { "media_dir", NULL, "data names the directory" },
    { "eval_strategy", NULL, "validations come at the ends of epochs (val_epochs)" },
    { "evaluation_strategy", NULL, "validations come at the ends of epochs (val_epochs)" },
    { "eval_steps", NULL, "validations come at the ends of epochs (val_epochs)" },
    { "per_device_eval_batch_size", NULL, "validation questions are asked one by one" },
    { "overwrite_output_dir", NULL, "--overwrite does this" },
    { "resume_from_checkpoint", "false", "--resume goes on" },
    { "save_only_model", NULL, "checkpoints always hold the whole state" },
    { "save_strategy", NULL, "save_steps decides" },
    { "overwrite_cache", NULL, "nothing is cached" },
    { "preprocessing_num_workers", NULL, "pictures are read by the threads that train" },
    { "dataloader_num_workers", NULL, "pictures are read by the threads that train" },
    { "plot_loss", NULL, "curves are always drawn" },
    { "report_to", NULL, "logs are files of the run" },
    { "logging_dir", NULL, "logs are files of the run" },
    { "trust_remote_code", NULL, "no code is read from models" },
    { "ddp_timeout", NULL, "one process trains" },
    { "ddp_find_unused_parameters", NULL, "one process trains" },
    { "deepspeed", NULL, "one process trains" },
    { "fsdp", NULL, "one process trains" },
    { "flash_attn", NULL, "attention never holds a whole map here" },
    { "use_unsloth", NULL, "there is one implementation" },
    { "enable_liger_kernel", NULL, "there is one implementation" },
    { "use_fast_tokenizer", NULL, "there is one tokenizer" },
    { "video_max_pixels", NULL, "there are no videos" },
    { "video_min_pixels", NULL, "there are no videos" },
    { "video_fps", NULL, "there are no videos" },
    { "video_maxlen", NULL, "there are no videos" },
    { "freeze_multi_modal_projector", "true", "freeze_vision_tower freezes it with the tower" },
    { "freeze_language_model", "false", "trainable names what is trained, e.g. visual.*" },
    { "packing", "false", "samples stay apart; those of a batch are packed without padding anyhow" },
    { "neat_packing", "false", "samples stay apart; those of a batch are packed without padding anyhow" },
    { "quantization_bit", "", "the base may be one that tenebra quantize wrote" },
    { "quantization_method", NULL, "the base may be one that tenebra quantize wrote" },
    { "fp16", "false", "bf16 is offered" },
    { "pure_bf16", "false", "masters stay f32; bf16 is offered" },
    { "optim", "adamw_torch|adamw_torch_fused|adamw_hf", "only AdamW is offered" },
    { "adapter_name_or_path", "", "a new adapter is trained; a run goes on with --resume" },
    { "use_dora", "false", "only LoRA is offered" },
    { "pissa_init", "false", "B starts with zeros" },
    { "loraplus_lr_ratio", "", "one learning rate is offered" },
    { "train_on_prompt", "false", "the prompt bears no loss" },
    { "mask_history", "false", "there is one turn" },
    { NULL, NULL, NULL }
};

const char *const tn_train_no_set = "names no set of 'tenebra data list'; give NAME:DIRECTORY (-d for the training set)";

const tn_train_switch tn_train_switches[] = {
    { "no_cot", "direct", false },
    { "no_thoughts", NULL, true },
    { NULL, NULL, false }
};

const char *const tn_train_default_method = "ivt-lr";
