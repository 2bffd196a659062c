/* The keys of a recipe. The names that other trainers use for them appear only in this file. */
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
    TEXT("load_model_path", NULL, load_model, NULL, true, "model directory to start from, which overrides `model`"),
    TEXT("shape", NULL, shape, NULL, false, "start from random weights of this shape (tenebra bench --help lists the shapes)"),
    TEXT("tokenizer", " tokenizer_name_or_path ", tokenizer, NULL, true, "directory with the tokenizer for `shape`"),
    TEXT("output", " output_dir ", output, NULL, true, "directory of the run"),
    TEXT("save_path", NULL, save_path, NULL, true, "the output is save_path/name if `output` is not given"),
    TEXT("name", " run_name ", name, NULL, true, "name of the run, used with `save_path`"),
    TEXT("data", " train_path dataset ", data, NULL, true, "training set as NAME:DIRECTORY"),
    TEXT("train_split", NULL, train_split, "train", false, "split of the training set"),
    TEXT("val_data", " val_path eval_dataset ", validation, NULL, true, "validation set as NAME:DIRECTORY (default: as `data`)"),
    TEXT("val_split", NULL, validation_split, NULL, true, "split of the validation set (default: dev)"),
    NUMBER("val_fraction", " val_size ", validation_fraction, "0", 0, 0.9, false,
           "hold out this share of the training split for validation; 0: validate on val_split"),
    SIZE("max_samples", NULL, train_limit, "0", 0, 1e9, false, "use only the first N samples of the training set; 0: all"),
    TEXT("topics", NULL, topics, NULL, false, "use only samples with these topics, separated by commas, in training and validation"),
    SIZE("val_samples", " max_eval_samples ", validation_limit, "200", 0, 1e9, true, "number of questions in each validation; 0: all"),

    TEXT("method", NULL, method, NULL, false, "method to train for (default: ivt-lr; tenebra run --help lists the methods)"),
    TEXT("positions", NULL, positions, NULL, false, "positions of tokens: sequential or mrope (default: the method's)"),
    TEXT("prompt", NULL, prompt, "ivtlr-train", false, "wording of the questions (tenebra data list lists the wordings)"),
    TEXT("val_prompt", NULL, validation_prompt, NULL, true, "wording of the validation questions (default: as `prompt`)"),
    SIZE("step_groups", NULL, step_groups, "3", 0, 1000, false, "merge a rationale into at most N steps; 0: no limit"),
    SIZE("c_thought", NULL, thoughts, "1", 1, 64, false, "number of latents that replace one step"),
    SIZE("epochs_per_stage", NULL, epochs_per_stage, "4", 1, 1e6, false, "number of epochs in a stage"),
    SIZE("max_latent_stage", NULL, max_latent_stage, "3", 0, 64, false, "last stage that adds latents; later stages drop all steps"),
    BOOL("pad_latent_to_max", NULL, pad_latents, "true", false,
            "after the last stage, samples with few steps get as many latents as others"),
    NUMBER("uniform_prob", NULL, uniform_prob, "0", 0, 1, false, "probability that a sample is trained in a random stage"),
    SIZE("resume", NULL, first_epoch, "0", 0, 1e6, false, "first epoch, to skip early stages (to continue a run, use --resume)"),
    SIZE("cutoff_len", " max_length max_seq_length ", cutoff, "0", 0, 1e7, false,
         "maximum rows of a sample; its last steps are dropped until it fits; 0: no limit"),
    BOOL("latent_grad_full", NULL, full_latent_grad, NULL, false,
         "gradients flow through latent hidden states, as in arXiv:2412.06769 (default: false, unless the method is defined so)"),
    BOOL("picks_grad_full", NULL, full_picks_grad, NULL, false,
         "gradients flow through picked image embeddings (default: false, unless the method is defined so)"),

    SIZE("num_epochs", " num_train_epochs epochs ", epochs, "16", 0, 1e6, true, "number of epochs, including those that `resume` skips"),
    SIZE("max_updates", " max_steps ", max_updates, "0", 0, 1e12, true, "end after N updates; 0: after the last epoch"),
    SIZE("batch_size", " batch_size_training per_device_train_batch_size ", batch_size, "2", 1, 65536, false,
            "number of samples in a forward pass"),
    SIZE("gradient_accumulation_steps", NULL, accumulation, "8", 1, 65536, false, "number of forward passes in an update, per device"),
    SIZE("num_devices", NULL, devices, "1", 1, 65536, false,
         "multiply the forward passes of an update by N, as a run on N devices does"),
    NUMBER("lr", " learning_rate ", lr, "4e-5", 0, 10, false, "learning rate"),
    NUMBER("weight_decay", NULL, weight_decay, "0.01", 0, 100, false, "decoupled weight decay, of matrices only"),
    NUMBER("adam_beta1", " beta1 ", beta1, "0.9", 0, 0.999999, false, "parameter of AdamW"),
    NUMBER("adam_beta2", " beta2 ", beta2, "0.999", 0, 0.999999999, false, "parameter of AdamW"),
    NUMBER("adam_epsilon", " eps ", eps, "1e-8", 0, 0.1, false, "parameter of AdamW"),
    NUMBER("max_grad_norm", NULL, max_grad_norm, "0.7", 0, 1e9, false, "clip gradients to this global norm; 0: never"),
    CHOICE("lr_scheduler_type", NULL, schedule, "constant", "constant|linear|cosine|constant_with_warmup", false,
         "learning-rate schedule"),
    NUMBER("warmup_ratio", NULL, warmup_ratio, "0", 0, 1, false, "share of the updates in which the learning rate rises"),
    SIZE("warmup_steps", NULL, warmup_updates, "0", 0, 1e12, false,
            "number of updates in which the learning rate rises; overrides warmup_ratio"),
    BOOL("reset_optimizer", NULL, reset_optimizer, "false", false, "reset the optimizer's moments when a new stage begins"),
    BOOL("group_by_length", NULL, group_by_length, "false", false, "make batches of samples with similar lengths"),
    SIZE("seed", NULL, seed, "0", 0, 9.3e18, false, "seed for order, stages, dropout and random weights"),

    CHOICE("finetuning_type", NULL, tuning, NULL, "lora|full", false,
            "train an adapter, or all weights (default: lora; with `shape`: full)"),
    SIZE("lora_rank", " lora_r ", lora_rank, "64", 1, 65536, false, "rank of the adapter"),
    NUMBER("lora_alpha", NULL, lora_alpha, "16", 0, 1e6, false, "the scale of the adapter is alpha / rank"),
    NUMBER("lora_dropout", NULL, lora_dropout, "0.05", 0, 0.999, false, "dropout of the adapter's input"),
    BOOL("use_rslora", NULL, lora_rslora, "false", false, "the scale is alpha / sqrt(rank)"),
    TEXT("lora_target", " lora_target_modules ", lora_target, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", false,
         "modules that get an adapter, separated by commas, or `all`"),
    CHOICE("lora_names", NULL, lora_names, "base", "base|old|new", true,
           "module names in the adapter: old (transformers up to 4.51), new (from 4.52), or base (as in the model directory)"),
    TEXT("trainable", NULL, trainable, NULL, false,
            "full: train only parameters whose names match one of these globs, e.g. model.layers.*"),
    BOOL("freeze_vision_tower", NULL, freeze_vision, NULL, false,
            "full: do not train the vision tower (default: true; with `shape`: false)"),
    BOOL("freeze_embeddings", NULL, freeze_head, "false", false, "full: do not train embeddings and head"),
    BOOL("bf16", NULL, bf16, "false", false, "the networks read weights rounded to bf16; master weights stay f32"),
    BOOL("gradient_checkpointing", NULL, checkpointing, "false", false, "gradient checkpointing: less memory, more computation"),
    CHOICE("save_dtype", NULL, save_type, "f32", "f32|bf16", true, "number type of trained weights in the written model directories"),
    NUMBER("init_std", " initializer_range ", init_std, "0.02", 0, 10, false,
           "standard deviation of random matrices (with `shape` or `fresh`); 0: 1 / sqrt(inputs)"),
    TEXT("fresh", NULL, fresh, NULL, false, "full: parameters whose names match one of these globs start from random values"),

    SIZE("image_max_pixels", NULL, image.max_pixels, "0", 0, 1e9, false,
            "maximum number of pixels of an image; 0: as the model directory says"),
    SIZE("image_min_pixels", NULL, image.min_pixels, "0", 0, 1e9, false,
            "minimum number of pixels of an image; 0: as the model directory says"),
    TN_SIDES(0, "image_size", image.width, "resize all images to this size in pixels, e.g. 280x280"),

    SIZE("save_steps", NULL, save_updates, "0", 0, 1e12, true,
            "write a checkpoint every N updates, in addition to those at the ends of epochs; 0: never"),
    SIZE("save_total_limit", NULL, keep, "2", 1, 1e6, true, "number of checkpoints that are kept"),
    SIZE("logging_steps", NULL, log_updates, "10", 1, 1e9, true, "print progress every N updates (the log file has every update)"),
    SIZE("threads", NULL, threads, "0", 0, 1024, true, "number of threads; 0: all processors"),
    SIZE("val_epochs", NULL, validation_epochs, "1", 1, 1e6, true, "validate every N epochs, and at the end of each stage"),
    BOOL("validate", NULL, validate, "true", true, "validate the model during training"),
    SIZE("val_tokens", NULL, validation_tokens, "256", 1, 65536, true, "maximum number of tokens in an answer at validation"),
    TN_OPTIONS_END
};

const tn_train_unused tn_train_unused_keys[] = {
    { "project", NULL, "names a page of a web service" },
    { "debug", "false", "use max_samples to take fewer samples" },
    { "only_eval", "false", "this command only trains; use tenebra eval to ask questions" },
    { "local", NULL, "models are always read from a directory" },
    { "local_path", NULL, "models are always read from a directory" },
    { "special_token", "false", "latents are rows, not tokens" },
    { "save_only_improve", NULL, "the best model of each stage is always kept beside the checkpoints" },

    { "template", NULL, "the chat template is the model's own" },
    { "stage", "sft", "there is only supervised training" },
    { "do_train", "true", "this command only trains" },
    { "do_eval", NULL, "the key validate decides" },
    { "do_predict", "false", "this command only trains; use tenebra eval to ask questions" },
    { "dataset_dir", NULL, "the key data has the directory" },
    { "media_dir", NULL, "the key data has the directory" },
    { "eval_strategy", NULL, "validation takes place at the ends of epochs (val_epochs)" },
    { "evaluation_strategy", NULL, "validation takes place at the ends of epochs (val_epochs)" },
    { "eval_steps", NULL, "validation takes place at the ends of epochs (val_epochs)" },
    { "per_device_eval_batch_size", NULL, "validation questions are asked one by one" },
    { "overwrite_output_dir", NULL, "--overwrite does this" },
    { "resume_from_checkpoint", "false", "--resume continues a run" },
    { "save_only_model", NULL, "checkpoints always contain the complete state" },
    { "save_strategy", NULL, "the key save_steps decides" },
    { "overwrite_cache", NULL, "nothing is cached" },
    { "preprocessing_num_workers", NULL, "images are read by the threads that train" },
    { "dataloader_num_workers", NULL, "images are read by the threads that train" },
    { "plot_loss", NULL, "curves are always drawn" },
    { "report_to", NULL, "logs are files in the directory of the run" },
    { "logging_dir", NULL, "logs are files in the directory of the run" },
    { "trust_remote_code", NULL, "no code of a model is executed" },
    { "ddp_timeout", NULL, "training runs in one process" },
    { "ddp_find_unused_parameters", NULL, "training runs in one process" },
    { "deepspeed", NULL, "training runs in one process" },
    { "fsdp", NULL, "training runs in one process" },
    { "flash_attn", NULL, "attention never stores a complete map here" },
    { "use_unsloth", NULL, "there is one implementation" },
    { "enable_liger_kernel", NULL, "there is one implementation" },
    { "use_fast_tokenizer", NULL, "there is one tokenizer" },
    { "video_max_pixels", NULL, "videos are not supported" },
    { "video_min_pixels", NULL, "videos are not supported" },
    { "video_fps", NULL, "videos are not supported" },
    { "video_maxlen", NULL, "videos are not supported" },
    { "freeze_multi_modal_projector", "true", "freeze_vision_tower freezes it with the tower" },
    { "freeze_language_model", "false", "use the key trainable, e.g. visual.*" },
    { "packing", "false", "samples are never joined; those of a batch are always packed without padding" },
    { "neat_packing", "false", "samples are never joined; those of a batch are always packed without padding" },
    { "quantization_bit", "", "the base model may be one that tenebra quantize wrote" },
    { "quantization_method", NULL, "the base model may be one that tenebra quantize wrote" },
    { "fp16", "false", "use bf16" },
    { "pure_bf16", "false", "master weights stay f32; use bf16" },
    { "optim", "adamw_torch|adamw_torch_fused|adamw_hf", "there is only AdamW" },
    { "adapter_name_or_path", "", "a new adapter is trained; use --resume to continue a run" },
    { "use_dora", "false", "there is only LoRA" },
    { "pissa_init", "false", "B starts with zeros" },
    { "loraplus_lr_ratio", "", "there is only one learning rate" },
    { "train_on_prompt", "false", "the prompt has no loss" },
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
