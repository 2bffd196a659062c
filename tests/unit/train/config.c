/* Configuration files: those of other trainers unchanged, own keys, and mistakes. */
#include "train/config.h"

#include "reason/trained.h"
#include "store/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char authors[] = "project: ivtlr\nsave_path: /path\nname: m3cot_IVTLR\n\nepochs_per_stage: 4\nmax_latent_stage: 5\n"
                              "pad_latent_to_max: True\n\nload_model_path: None\nseed: 0\nresume: 0\nbf16: True\n"
                              "batch_size_training: 2\ndebug: False\ngradient_accumulation_steps: 8\nnum_epochs: 16\n"
                              "lr: !!float \"4e-5\"";

static const char latent_text[] =
    "# need 4 gpus\nproject: coconut\nsave_path: somewhere\nname: gsm\nlocal: True\nlocal_path: /x\nonly_eval: False\n"
    "coconut: True\nspecial_token: False\ncot: False\nno_thoughts: False\nno_cot: False\nc_thought: 2\nepochs_per_stage: 3\n"
    "max_latent_stage: 3\npad_latent_to_max: True\nsave_only_improve: False\nuniform_prob: 0.3\nmodel_id: gpt2\n"
    "load_model_path: None\nseed: 7\nresume: 3\nbf16: False\ntrain_path: data/t.json\nval_path: data/v.json\n"
    "reset_optimizer: True\nbatch_size_training: 32\ndebug: False\ngradient_accumulation_steps: 1\nnum_epochs: 25\n"
    "lr: !!float \"1e-4\"\nweight_decay: 0.01\n";

/* Reads `text` through a file, as users do. */
static tenebra_code read_text(tn_train_config *config, const char *text, const char *const *overrides, size_t count,
                              tenebra_error *error)
{
    char path[] = "/tmp/tenebra-config-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    close(descriptor);
    tenebra_code code = tn_train_config_read(config, path, overrides, count, error);
    unlink(path);
    return code;
}

static void expect_mistake(const char *text, const char *where, const char *sentence)
{
    tn_train_config config;
    tenebra_error error = { 0 };
    assert_int_not_equal(read_text(&config, text, NULL, 0, &error), TENEBRA_OK);
    if (strstr(error.sentence, sentence) == NULL || strstr(error.where, where) == NULL)
        fail_msg("'%s' gave: %s: %s", text, error.where, error.sentence);
    assert_int_equal(config.yaml.count, 0);
}

static void test_authors_file(void **state)
{
    (void)state;
    tn_train_config config;
    assert_int_equal(read_text(&config, authors, NULL, 0, NULL), TENEBRA_OK);
    assert_string_equal(config.method, "ivt-lr");
    assert_string_equal(config.output, "/path/m3cot_IVTLR");
    assert_null(config.model);
    assert_true(config.bf16);
    assert_true(config.lr == 4e-5);
    assert_int_equal(config.batch_size, 2);
    assert_int_equal(config.accumulation, 8);
    assert_int_equal(config.max_latent_stage, 5);
    assert_int_equal(config.tuning, TN_TUNE_LORA);
    assert_int_equal(config.lora_rank, 64);
    assert_true(config.max_grad_norm == 0.7);
    assert_int_equal(config.note_count, 2);
    tn_train_config_free(&config);
}

static void test_latent_text_file(void **state)
{
    (void)state;
    tn_train_config config;
    assert_int_equal(read_text(&config, latent_text, NULL, 0, NULL), TENEBRA_OK);
    assert_string_equal(config.method, "coconut");
    assert_string_equal(config.model, "gpt2");
    assert_null(config.data); /* paths of other trainers' sets: the options name them */
    assert_null(config.validation);
    assert_true(config.reset_optimizer);
    assert_true(config.uniform_prob == 0.3);
    assert_int_equal(config.thoughts, 2);
    assert_int_equal(config.first_epoch, 3);
    assert_int_equal(config.seed, 7);
    tn_train_config_free(&config);
}

/* The keys of LLaMA-Factory's example for this backbone with LoRA (examples/train_lora/qwen2vl_lora_sft.yaml), with values of our own,
 * and some that its other examples have. */
static const char factory[] =
    "model_name_or_path: somebody/a-model\nimage_max_pixels: 200704\nvideo_max_pixels: 4096\ntrust_remote_code: false\n"
    "stage: sft\ndo_train: true\nfinetuning_type: lora\nlora_rank: 4\nlora_target: all\n"
    "dataset: one_set,another_set\ntemplate: qwen2_vl\ncutoff_len: 512\nmax_samples: 50\noverwrite_cache: false\n"
    "preprocessing_num_workers: 2\ndataloader_num_workers: 1\noutput_dir: results/here\nlogging_steps: 5\nsave_steps: 20\n"
    "plot_loss: false\noverwrite_output_dir: false\nsave_only_model: true\nreport_to: none\nper_device_train_batch_size: 3\n"
    "gradient_accumulation_steps: 4\nlearning_rate: 2.0e-5\nnum_train_epochs: 2.0\nlr_scheduler_type: linear\nwarmup_ratio: 0.05\n"
    "bf16: true\nddp_timeout: 1000\nresume_from_checkpoint: null\neval_dataset: a_third\nval_size: 0.2\n"
    "per_device_eval_batch_size: 2\neval_strategy: steps\neval_steps: 10\ndeepspeed: some/config.json\nflash_attn: fa2\n"
    "freeze_vision_tower: true\nfreeze_multi_modal_projector: true\nfreeze_language_model: false\npacking: false\n";

static void test_factory_file(void **state)
{
    static const char *const options[] = { "model=M", "data=hops:D" };
    (void)state;
    tn_train_config config;
    tenebra_error error = { 0 };
    if (read_text(&config, factory, options, 2, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_string_equal(config.model, "M");
    assert_string_equal(config.data, "hops:D");
    assert_null(config.validation);
    assert_string_equal(config.prompt, "ivtlr-train"); /* not `template` */
    assert_int_equal(config.lora_rank, 4);
    assert_int_equal(config.epochs, 2);
    assert_int_equal(config.batch_size, 3);
    assert_int_equal(config.cutoff, 512);
    assert_true(config.lr == 2e-5 && config.warmup_ratio == 0.05 && config.validation_fraction == 0.2 && config.bf16 && config.freeze_vision);
    static const char *const noted[] = { "template", "dataset", "eval_dataset", "deepspeed", "video_max_pixels", "report_to" };
    for (size_t i = 0; i < sizeof noted / sizeof *noted; i++) {
        bool found = false;
        for (size_t n = 0; n < config.note_count; n++)
            found = found || strcmp(config.notes[n].key, noted[i]) == 0;
        assert_true(found);
    }
    tn_train_config_free(&config);
}

/* What another trainer would do and this one does not is refused, not passed over. */
static void test_not_offered(void **state)
{
    (void)state;
    expect_mistake("stage: dpo\n", "line 1", "not offered");
    expect_mistake("only_eval: True\n", "line 1", "not offered");
    expect_mistake("debug: True\n", "line 1", "max_samples");
    expect_mistake("quantization_bit: 4\n", "line 1", "not offered");
    expect_mistake("packing: true\n", "line 1", "not offered");
    expect_mistake("freeze_multi_modal_projector: false\n", "line 1", "not offered");
    expect_mistake("optim: muon\n", "line 1", "only AdamW");
    expect_mistake("adapter_name_or_path: x\n", "line 1", "--resume");
    expect_mistake("n-latent: 3\n", "line 1", "max_latent_stage"); /* the stages decide; asking would use another number than training */
    expect_mistake("method: coconut\nn_latent: 3\n", "line 2", "max_latent_stage");
    expect_mistake("data: a_set\nbatch_size: none\n", "line 2", "not a whole number"); /* the control: own keys are never foreign */
}

static void test_all_mistakes_at_once(void **state)
{
    (void)state;
    static const char four[] = "batch_sise: 3\nlr: fast\nseed: 1\nlora_rnak: 4\nstage: dpo\n";
    expect_mistake(four, "config", "4 mistakes. line 1: there is no key 'batch_sise'; did you mean 'batch_size'?; line 2: lr: 'fast' is "
                   "not a number; line 4: ");
    expect_mistake(four, "config", "line 4: there is no key 'lora_rnak'; did you mean 'lora_rank'?");
    expect_mistake(four, "config", "line 5: 'stage: dpo' requests something that is not offered");
    /* With an unknown method, options of any method are not reported, but other unknown keys are. */
    static const char two[] = "k_select: 4\nmethod: ivtlr\nlearing_rate: 1\ncue: x\n";
    expect_mistake(two, "config", "2 mistakes. line 2: method: there is no method 'ivtlr'; did you mean 'ivt-lr'?");
    expect_mistake(two, "config", "line 3: there is no key 'learing_rate'; did you mean 'learning_rate'?");
    char late[2000] = ""; /* a mistake that is found first, but is in the last line of many */
    for (int i = 0; i < 40; i++)
        snprintf(late + strlen(late), sizeof late - strlen(late), "nonsense%d: 1\n", i);
    strcat(late, "lr: fast\n");
    expect_mistake(late, "config", "41 mistakes. line 1: there is no key 'nonsense0'");
    expect_mistake("k_select: 4\nmethod: ivtlr\n", "line 2", "did you mean 'ivt-lr'?");
    char many[2000] = "";
    for (int i = 0; i < 40; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "nonsense%d: 1\n", i);
    expect_mistake(many, "config", "40 mistakes. line 1: ");
    expect_mistake(many, "config", " more");
    expect_mistake("batch_sise: 3\n", "line 1", "tenebra train --keys"); /* a single mistake is reported unchanged */
}

static void test_own_keys_and_overrides(void **state)
{
    (void)state;
    tn_train_config config;
    const char *const overrides[] = { "learning_rate=1e-3", "shape=tiny", "k_select=8", "lora_rank=4" };
    assert_int_equal(read_text(&config, "lr: 5\nmethod: ivt_lr\nlora_target: [q_proj, v_proj]\norder: text-first\n"
                                        "lora_rank: 9\nlr_scheduler_type: cosine\nimage_max_pixels: 1000\nseed: 9007199254740993\n",
                               overrides, 4, NULL), TENEBRA_OK);
    assert_true(config.lr == 1e-3);
    assert_string_equal(config.shape, "tiny");
    assert_int_equal(config.tuning, TN_TUNE_FULL);
    assert_false(config.freeze_vision);
    assert_int_equal(config.lora_rank, 4);
    assert_string_equal(config.lora_target, "q_proj,v_proj");
    assert_int_equal(config.schedule, TN_SCHEDULE_COSINE);
    assert_true(config.seed == 9007199254740993); /* 2^53 + 1, not a double */
    assert_int_equal(config.setting_count, 2);
    assert_string_equal(config.settings[0].name, "order");
    assert_string_equal(config.settings[1].name, "k-select");
    assert_string_equal(config.settings[1].value, "8");
    tn_train_config_free(&config);
    assert_int_equal(tn_train_config_read(&config, NULL, overrides, 4, NULL), TENEBRA_OK);
    tn_train_config_free(&config);
}

/* The authors' wording for backbones that represent images as tokens brings their number of picks, unless the recipe has one. */
static void test_settings_of_a_wording(void **state)
{
    (void)state;
    tn_train_config config;
    assert_int_equal(read_text(&config, "prompt: ivtlr-fused-train\n", NULL, 0, NULL), TENEBRA_OK);
    assert_int_equal(config.setting_count, 1);
    assert_string_equal(config.settings[0].name, "k-select");
    assert_string_equal(config.settings[0].value, "64");
    tn_train_config_free(&config);
    assert_int_equal(read_text(&config, "prompt: ivtlr-fused-train\nk_select: 8\n", NULL, 0, NULL), TENEBRA_OK);
    assert_int_equal(config.setting_count, 1);
    assert_string_equal(config.settings[0].value, "8");
    tn_train_config_free(&config);
    assert_int_equal(read_text(&config, "prompt: ivtlr-fused-train\nmethod: coconut\n", NULL, 0, NULL), TENEBRA_OK);
    for (size_t i = 0; i < config.setting_count; i++)
        assert_string_not_equal(config.settings[i].name, "k-select");
    tn_train_config_free(&config);
    assert_int_equal(read_text(&config, "prompt: ivtlr-train\n", NULL, 0, NULL), TENEBRA_OK);
    assert_int_equal(config.setting_count, 0);
    tn_train_config_free(&config);
}

/* The size of the images that picks are read from is a setting of the method. */
static void test_look_size(void **state)
{
    (void)state;
    tn_train_config config;
    assert_int_equal(read_text(&config, "image_size: 112x112\nlook_size: 224x224\n", NULL, 0, NULL), TENEBRA_OK);
    assert_true(config.image.width == 112 && config.image.height == 112 && config.setting_count == 1);
    assert_string_equal(config.settings[0].name, "look-size");
    assert_string_equal(config.settings[0].value, "224x224");
    tn_train_config_free(&config);
    assert_int_equal(read_text(&config, "look_size: prompt\n", NULL, 0, NULL), TENEBRA_OK);
    tn_train_config_free(&config);
    expect_mistake("look_size: 224\n", "line 1", "look_size: '224' is not WIDTHxHEIGHT");
    expect_mistake("method: coconut\nlook_size: 224x224\n", "line 2", "look_size");
}

static void test_switches(void **state)
{
    (void)state;
    tn_train_config config;
    assert_int_equal(read_text(&config, "cot: true\n", NULL, 0, NULL), TENEBRA_OK);
    assert_string_equal(config.method, "cot");
    tn_train_config_free(&config);
    assert_int_equal(read_text(&config, "coconut: True\nno_thoughts: True\n", NULL, 0, NULL), TENEBRA_OK);
    assert_true(config.latents_off);
    tn_train_config_free(&config);
    assert_int_equal(read_text(&config, "no_cot: True\n", NULL, 0, NULL), TENEBRA_OK);
    assert_string_equal(config.method, "direct");
    tn_train_config_free(&config);
    expect_mistake("cot: True\ncoconut: True\n", "line 2", "choice of the method");
}

static void test_mistakes(void **state)
{
    (void)state;
    expect_mistake("seed: 1\nbatch_sise: 3\n", "line 2", "did you mean 'batch_size'");
    expect_mistake("epochs_per_stag: 3\n", "line 1", "did you mean 'epochs_per_stage'");
    expect_mistake("method: ivt-lr\nk_select: x\n", "line 2", "k_select: 'x' is not a whole number");
    expect_mistake("seed: 9223372036854775808\n", "line 1", "is not a whole number from 0 to 9223372036854775807");
    expect_mistake("qqqqqqqqqqq: 3\n", "line 1", "there is no key 'qqqqqqqqqqq' (");
    expect_mistake("a: 3\n", "line 1", "there is no key 'a' (");
    expect_mistake("model: m\nfresh: model.*\n", "fresh", "finetuning_type: full");
    expect_mistake("finetuning_type: lora\nshape: tiny\ntrainable: visual.*\n", "trainable", "finetuning_type: full");
    expect_mistake("lr: fast\n", "line 1", "is not a number");
    expect_mistake("lr: -1\n", "line 1", "must lie between");
    expect_mistake("lr: .nan\n", "line 1", "is not a number");
    expect_mistake("batch_size: 1.5\n", "line 1", "whole number");
    expect_mistake("image_size: 280\n", "line 1", "image_size: '280' is not WIDTHxHEIGHT");
    expect_mistake("bf16: maybe\n", "line 1", "neither true nor false");
    expect_mistake("lr_scheduler_type: zigzag\n", "line 1", "is not one of constant|linear");
    expect_mistake("method: telepathy\n", "line 1", "no method 'telepathy'");
    expect_mistake("lr: 1\nlearning_rate: 2\n", "line 2", "'learning_rate' is another name of 'lr' in line 1");
    expect_mistake("lora_r: 8\nseed: 1\nlora_rank: 8\n", "line 3", "another name of 'lora_r' in line 1");
    expect_mistake("method: ivt-lr\nk-select: 4\nk_select: 5\n", "line 3", "another name of 'k-select' in line 2");
    expect_mistake("seed: 1\nlr: 2\nseed: 2\n", "", "line 3: 'seed' is already in line 1");
    expect_mistake("a:\n  b: 1\n", "", "nested");
    expect_mistake("a: [[1]]\n", "", "line 1: a list is only allowed");
    expect_mistake("a: &x 1\nb: *x\n", "", "aliases");
    expect_mistake("- 1\n", "", "a list is only allowed after a key");
    expect_mistake("just words\n", "", "key: value");
    expect_mistake("lr: \"4e-5\n", "", "is not YAML");
    expect_mistake("seed: 1\n---\nseed: 2\n", "", "second document");
}

static void test_comparison(void **state)
{
    (void)state;
    tn_train_config one, other;
    tenebra_error error;
    const char *const changes[] = { "lr=1", "save_steps=3", "order=text-first" };
    assert_int_equal(read_text(&one, authors, NULL, 0, NULL), TENEBRA_OK);
    json_t *saved = tn_train_config_json(&one);
    assert_non_null(saved);
    assert_int_equal(tn_train_config_compare(&one, saved, "here", &error), TENEBRA_OK);
    assert_int_equal(read_text(&other, authors, changes + 1, 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_train_config_compare(&other, saved, "here", &error), TENEBRA_OK);
    tn_train_config_free(&other);
    assert_int_equal(read_text(&other, authors, changes, 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_train_config_compare(&other, saved, "here", &error), TENEBRA_ERROR_MISMATCH);
    assert_non_null(strstr(error.sentence, "'lr: 4e-5'"));
    tn_train_config_free(&other);
    assert_int_equal(read_text(&other, authors, changes + 2, 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_train_config_compare(&other, saved, "here", &error), TENEBRA_ERROR_MISMATCH);
    tn_train_config_free(&other);
    json_decref(saved);
    tn_train_config_free(&one);
}

/* Every key of a recipe is known to the reader of training.json; others are noted. */
static void test_keys_are_known_to_readers(void **state)
{
    (void)state;
    tn_train_config config;
    assert_int_equal(read_text(&config, authors, NULL, 0, NULL), TENEBRA_OK);
    json_t *about = json_object(), *object = tn_train_config_json(&config);
    json_object_set(about, "config", object);
    for (int more = 0; more < 2; more++) {
        tn_trained trained = { 0 };
        char *text = tn_store_seal_object(about);
        assert_int_equal(tn_trained_parse(&trained, text, strlen(text), NULL), TENEBRA_OK);
        assert_int_equal(trained.notes.count, more);
        tn_trained_free(&trained);
        free(text);
        json_object_set_new(object, "unheard", json_true());
    }
    json_decref(object);
    json_decref(about);
    tn_train_config_free(&config);
}

/* Where two keys of a file decide the same, the one without effect is noted; --set needs no note. */
static void test_overruled_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *override, *noted;
    } rows[] = { { "image_size: 56x56\nimage_max_pixels: 9\n", NULL, "image_max_pixels" },
                 { "image_size: 56x56\nimage_min_pixels: 9\n", NULL, "image_min_pixels" },
                 { "image_max_pixels: 9\n", "image_size=56x56", NULL },
                 { "warmup_steps: 3\nwarmup_ratio: 0.1\n", NULL, "warmup_ratio" },
                 { "warmup_steps: 0\nwarmup_ratio: 0.1\n", NULL, NULL },
                 { "model_id: a\nload_model_path: b\n", NULL, "model" },
                 { "model_id: a\nload_model_path: None\n", NULL, NULL },
                 { "output_dir: a\nsave_path: b\n", NULL, "save_path" },
                 { "finetuning_type: full\nlora_r: 4\n", NULL, "lora_rank" },
                 { "finetuning_type: full\nfreeze_vision_tower: false\n", NULL, NULL },
                 { "lora_r: 4\nfreeze_vision_tower: true\n", NULL, NULL },
                 { "lora_r: 4\n", "freeze_vision_tower=false", NULL }, /* it depends on the model: the trainer says so */
                 { "lora_r: 4\nsave_dtype: bf16\n", NULL, "save_dtype" },
                 { "method: cot\nc_thought: 2\n", NULL, "c_thought" },
                 { "method: coconut\nc_thought: 2\n", NULL, NULL },
                 { "model: a\ninit_std: 0.1\n", NULL, "init_std" },
                 { "shape: a\ninit_std: 0.1\n", NULL, NULL },
                 { "model: a\ntokenizer: b\n", NULL, "tokenizer" },
                 { "name: a\noutput: b\n", NULL, "name" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tn_train_config config;
        assert_int_equal(read_text(&config, rows[i].text, &rows[i].override, rows[i].override != NULL, NULL), TENEBRA_OK);
        assert_int_equal(config.note_count, rows[i].noted != NULL);
        if (rows[i].noted != NULL)
            assert_string_equal(config.notes[0].key, rows[i].noted);
        tn_train_config_free(&config);
    }
}

/* Gradients through latent steps: the method says whether they flow, unless the recipe does. */
static void test_gradients_of_methods(void **state)
{
    static const struct {
        const char *text;
        bool hidden, picks, told;
    } rows[] = {
        { "method: ivt-lr\n", false, false, false },
        { "method: ivt-lr\nlatent_grad_full: true\n", true, false, false },
        { "method: lare\n", true, true, true },
        { "method: lare\npicks_grad_full: false\n", true, false, true },
        { "method: lare\nlatent_grad_full: false\npicks_grad_full: false\n", false, false, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tn_train_config config;
        assert_int_equal(read_text(&config, rows[i].text, NULL, 0, NULL), TENEBRA_OK);
        assert_true(config.full_latent_grad == rows[i].hidden && config.full_picks_grad == rows[i].picks);
        assert_int_equal(config.exact_by_method, rows[i].told);
        tn_train_config_free(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authors_file), cmocka_unit_test(test_latent_text_file), cmocka_unit_test(test_factory_file),
        cmocka_unit_test(test_not_offered),  cmocka_unit_test(test_all_mistakes_at_once),
        cmocka_unit_test(test_own_keys_and_overrides), cmocka_unit_test(test_settings_of_a_wording),
        cmocka_unit_test(test_look_size), cmocka_unit_test(test_switches),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_keys_are_known_to_readers), cmocka_unit_test(test_gradients_of_methods),
        cmocka_unit_test(test_overruled_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
