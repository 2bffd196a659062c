/* Each scorer on texts of our own: every branch, correct and wrong answers, and texts that must not count as answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "eval/score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const fruits[] = { "Apple", "a pear", "no fruit at all", "Cherry" };
static const char *const traps[] = { "the answer is option C in the image", "Option B", "True", "not sure" };
static const char *const genes[] = { "BB", "Bb", "bb" };
static const char *const seven[] = { "one", "two", "three", "four", "five", "six", "seven" };

static tn_sample sample_of(const char *const *options, size_t count, const char *label)
{
    return (tn_sample){ .id = "x", .question = "Which?", .context = "", .options = options, .option_count = count,
                        .label = label, .domain = "", .topic = "", .subject = "", .grade = "" };
}

static tn_verdict judge(const char *name, const tn_sample *sample, const char *text)
{
    tn_verdict verdict;
    const tn_scorer *scorer;
    size_t variant;
    tn_scored answer = { .sample = sample, .text = TN_SLICE(text) };
    assert_int_equal(tn_scorer_choose(name, &scorer, &variant, NULL), TENEBRA_OK);
    assert_int_equal(scorer->judge(&verdict, &answer, variant, NULL), TENEBRA_OK);
    return verdict;
}

typedef struct expectation {
    const char *text;
    char letter; /* '-': none found */
} expectation;

static void expect_letters(const char *scorer, const char *const *options, size_t count, const expectation *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        long choice = cases[i].letter == '-' ? TN_NO_CHOICE : cases[i].letter - 'A';
        char label[2] = { cases[i].letter == 'A' ? 'B' : 'A', '\0' };
        tn_sample wrong = sample_of(options, count, label);
        tn_verdict verdict = judge(scorer, &wrong, cases[i].text);
        if (verdict.choice != choice)
            fail_msg("%s: '%s' gives %ld, not %ld", scorer, cases[i].text, verdict.choice, choice);
        assert_false(verdict.correct);
        label[0] = cases[i].letter == '-' ? 'A' : cases[i].letter;
        tn_sample right = sample_of(options, count, label);
        assert_int_equal(judge(scorer, &right, cases[i].text).correct, choice != TN_NO_CHOICE);
    }
}

#define EXPECT(scorer, options, ...)                                                                     \
    do {                                                                                                 \
        const expectation cases_[] = { __VA_ARGS__ };                                                    \
        expect_letters(scorer, options, sizeof(options) / sizeof *(options), cases_, sizeof cases_ / sizeof *cases_); \
    } while (0)

static void test_m3cot(void **state)
{
    (void)state;
    EXPECT("m3cot", fruits,
           { "(A) or (d)", 'D' },                                     /* last in parentheses, any case   */
           { "answer(s): B", 'S' },                                   /* any letter at all               */
           { "(A) [Answer] (B) [Rationale] (C)", 'B' },               /* the section                     */
           { "[Answer] (A) [Answer] x (C) [Context] (D)", 'C' },      /* the last one                    */
           { "(A) [Answer] cherry", 'D' },                            /* nothing before it counts        */
           { "An APPLE, or rather a cherry pie, or an apple", 'D' },  /* the last in order of options    */
           { "pineapples", 'A' },                                     /* inside of words                 */
           { "It is B, or A!", 'B' },                                 /* separate letters                */
           { "**B** C: D)", '-' },                                    /* other marks do not separate     */
           { "this is a test", 'A' },                                 /* the article                     */
           { "B\tc", '-' },                                           /* tabs do not separate            */
           { "x\nb?", 'B' },
           { "E", '-' },                                              /* no such option                  */
           { "", '-' });
    /* The official program stops with an error here; ours continues with G. */
    EXPECT("m3cot", seven, { "It is seven.", 'G' }, { "G", 'G' }, { "g!", 'G' }, { "(g)", 'G' }, { "two or seven", 'G' });
}

static void test_sqa(void **state)
{
    (void)state;
    EXPECT("sqa", fruits, { "The answer is B. BECAUSE: x", 'B' }, { "The answer is B", '-' }, { "The answer is B.\n", 'B' },
           { "The answer is A. The answer is A.", '-' }, { "The answer is E.", '-' }, { "the answer is B.", '-' },
           { "The answer is B\nx", '-' }, { "The answer is Bx", 'B' });
    EXPECT("sqa_paren", fruits, { "The answer is (B)", 'B' }, { "The answer is (B). The answer is (B)", '-' },
           { "The answer is B.", '-' }, { "The answer is (b)", '-' }, { "The answer is (F)", '-' }, { "The answer is (", '-' });
    tn_sample sample = sample_of(fruits, 4, "2");
    tn_verdict verdict;
    tn_scored answer = { .sample = &sample, .chosen = true, .choice = 2 };
    const tn_scorer *const scorers[] = { tn_scorer_find("sqa"), tn_scorer_find("ivtlr-sqa"), tn_scorer_find("strict") };
    for (size_t i = 0; i < 3; i++) {
        answer.choice = 2;
        assert_true(scorers[i]->by_choice);
        assert_int_equal(scorers[i]->judge(&verdict, &answer, 0, NULL), TENEBRA_OK);
        assert_true(verdict.correct && verdict.found && verdict.choice == 2);
        answer.choice = -1;
        assert_int_equal(scorers[i]->judge(&verdict, &answer, 0, NULL), TENEBRA_OK);
        assert_true(!verdict.correct && !verdict.found);
    }
}

static void test_ivtlr(void **state)
{
    (void)state;
    tn_sample sample = sample_of(fruits, 4, "C");
    assert_true(judge("ivtlr-m3cot", &sample, "Therefore, the answer is C").correct);
    assert_true(judge("ivtlr-m3cot", &sample, "the answer is A, no, THE ANSWER  IS\nc").correct); /* any of the set */
    assert_true(judge("ivtlr-m3cot", &sample, "the answer is correct").correct);                 /* as published   */
    assert_false(judge("ivtlr-m3cot", &sample, "the answer is (C)").correct);
    assert_false(judge("ivtlr-m3cot", &sample, "Cherries").correct);
    assert_true(judge("ivtlr-m3cot:headers_dropped", &sample, "Cherries").correct); /* its first letter counts */
    assert_int_equal(judge("ivtlr-m3cot:headers_dropped", &sample, "Thus the answer is B").letters, 1u << 1 | 1u << ('T' - 'A'));
    /* The letter taken belongs to the words that would have been looked for. */
    assert_int_equal(judge("ivtlr-m3cot:headers_dropped", &sample, "the answer is B").letters, 1u << ('T' - 'A'));
    EXPECT("ivtlr-sqa", fruits, { "Therefore, the answer is 2", 'C' }, { "the answer is C ... the answer is 3 g", 'D' },
           { "the answer is A. Therefore the answer is B", 'B' }, { "answer is:1", 'B' }, { "the answer is 12", 'B' },
           { "the answer is a matter", 'A' }, { "the answers are B", '-' }, { "the answer is (B)", '-' });
}

static void test_marks(void **state)
{
    (void)state;
    EXPECT("bracket", fruits, { "[[A]] so [[ (B) ]]", 'B' }, { "[[cherry]]", 'D' }, { "[[C]", '-' }, { "x]] [[", '-' },
           { "[[E]]", '-' }, { "[[A pear.]]", 'B' }, { "B", '-' });
    EXPECT("answer_tag", fruits, { "<answer>B</answer> <answer>C</answer>", 'B' }, { "<answer>x\ny</answer><answer>C</answer>", 'C' },
           { "<answer>\n D. Cherry \n</answer>", 'D' }, { "<answer>B", '-' }, { "B</answer>", '-' }, { "<Answer>B</Answer>", '-' });
    EXPECT("answer_tag:last", fruits, { "<answer>B</answer> <answer>C</answer>", 'C' }, { "<answer>B</answer> <answer>C", 'B' });
}

static void test_last(void **state)
{
    (void)state;
    EXPECT("last_named", fruits, { "apple apple cherry a pear", 'B' }, { "The answer is B, not (C)", 'C' }, { "pineapples", '-' },
           { "CHERRY pears", 'D' }, { "a pear (A)", 'A' }, { "a fruit", '-' }, { "It is D.", 'D' }, { "", '-' });
    EXPECT("last_named", seven, { "one or seven", 'G' }, { "seventeen", '-' });
    EXPECT("last_named:ending", fruits, { "apple apple cherry a pear", 'B' }, { "cherry cherry melon", '-' }, { "It is D.", 'D' },
           { "apple, not", '-' }, { "", '-' });
    tn_sample sample = sample_of(fruits, 4, "C");
    assert_true(judge("last_named:ending", &sample, "cherry melon").found); /* an answer, and a wrong one */
    assert_false(judge("last_named:ending", &sample, " .").found);
    assert_false(judge("last_named", &sample, "melon").found);
}

static void test_strict(void **state)
{
    (void)state;
    EXPECT("strict", fruits,
           { "Therefore, the answer is C", 'C' }, { "The answer is A. No: the answer is **B**.", 'B' },
           { "the correct answer is option D.", 'D' }, { "Answer: (b)", 'B' }, { "Answer:\nC", 'C' }, { "The answer is a pear", 'B' },
           { "The answer is an orange", '-' }, { "The answer is cherry.", 'D' }, { "The answer is E", '-' },
           { "The answer is A or B", '-' }, { "The answer is (A), (B)", '-' }, { "The answer is B because A is red", 'B' },
           { "The answer is A dog", '-' }, { "The answer is A because", 'A' }, { "Option A is correct.", 'A' },
           { "(A) is the best answer", 'A' }, { "B is not correct", '-' }, { "The answer is B. The answer is not B.", '-' },
           { "x <answer>C</answer>", 'C' }, { "so \\boxed{D}", 'D' }, { "[[A]]", 'A' }, { "A", 'A' }, { "c", 'C' },
           { "B) a pear", 'B' }, { "(D) Cherry\n\nBecause it is red.", 'D' }, { "I think of (B).", 'B' }, { "(A) and (B)", '-' },
           { "(A) Apple\n(B) a pear", '-' }, { "It grows.\nThus:\nCherry", 'D' }, { "A pear grows on a tree", '-' },
           { "The plan-B answer: C's peel", '-' }, { "answers: A", '-' }, { "Anna ate all", '-' }, { "x\nb", '-' }, { "", '-' });
    EXPECT("strict", traps, { "The answer is B.\n(A) the answer is option C in the image", 'A' },
           { "The correct answer is (A) the answer is option C in the image.", 'A' }, { "Answer: Option B", 'B' },
           { "the answer is true", 'C' }, { "The answer is not sure", 'D' });
    EXPECT("strict", genes, { "bb", 'C' }, { "BB", 'A' }, { "The answer is Bb.", 'B' });
}

static void test_strict_indices_and_words(void **state)
{
    (void)state;
    tn_sample index = sample_of(fruits, 4, "1"), letter = sample_of(fruits, 4, "B"), open = sample_of(NULL, 0, "Light blue");
    assert_true(judge("strict", &index, "Therefore, the answer is 1").correct);
    assert_true(judge("strict", &index, "the answer is B").correct);
    assert_false(judge("strict", &index, "the answer is 1.5").found);
    assert_false(judge("strict", &index, "the answer is 4").found); /* no such option */
    assert_false(judge("strict", &letter, "the answer is 1").found);
    assert_true(judge("strict", &open, "The answer is light blue.").correct);
    assert_true(judge("strict", &open, "light blue").correct);
    assert_false(judge("strict", &open, "The answer is blue.").correct);
    assert_false(judge("strict", &open, "").correct);
}

/* The same letter in what answers are dressed in. */
static void test_strict_dressed(void **state)
{
    (void)state;
    EXPECT("strict", fruits,
           { "so $\\boxed{\\text{B}}$", 'B' }, { "\\boxed{\\mathrm{(B)}}", 'B' }, { "\\boxed{\\textbf{B}}", 'B' }, { "\\boxed{$B$}", 'B' },
           { "\\boxed{\\text{(B) a pear}}", 'B' }, { "$$\\boxed{\\mathbf{\\text{B}}}$$", 'B' }, { "\\boxed {B}", 'B' }, { "\\boxed B", 'B' },
           { "\\fbox{B}", 'B' }, { "\\\\boxed{B}", 'B' }, { "\\[ \\boxed{B} \\]", 'B' }, { "\\boxed{\\text{Option B}}", 'B' },
           { "\\boxed{a pear}", 'B' }, { "\\boxed{\\left(B\\right)}", 'B' }, { "\\boxed{\\textcolor{red}{B}}", 'B' }, { "\\boxed{\\{B\\}}", 'B' },
           { "$B$", 'B' }, { "\\(B\\)", 'B' }, { "\\(\\text{B}\\).", 'B' }, { "$$B$$", 'B' }, { "\\mathrm{B}", 'B' }, { "\\textbf{(B)}", 'B' },
           { "The answer is $B$.", 'B' }, { "The answer is \\(B\\), a pear.", 'B' }, { "The answer is $\\mathbf{B}$ because", 'B' },
           { "**B**", 'B' }, { "__B__", 'B' }, { "The answer is _B_.", 'B' }, { "___B___", 'B' }, { "snake_B_case", '-' }, { "The answer is ____", '-' }, { "`B`", 'B' }, { "***B***", 'B' }, { "**Answer:** B", 'B' }, { "**Answer**: **B**", 'B' },
           { "### Answer: B", 'B' }, { "It is red.\n- B", 'B' }, { "<b>B</b>", 'B' }, { "The answer is <strong>C</strong>", 'C' },
           { "the answer is <i>D</i>.", 'D' }, { "\xEF\xBC\xA2", 'B' }, { "\xEF\xBC\x88\xEF\xBC\xA2\xEF\xBC\x89", 'B' },
           { "Answer\xEF\xBC\x9A\xEF\xBC\x88\x42\xEF\xBC\x89", 'B' }, { "\xE3\x80\x90" "B" "\xE3\x80\x91", 'B' },
           { "The answer is \xE2\x92\xB7", 'B' }, { "The answer is \xF0\x9D\x90\x81.", 'B' }, { "The answer is \xF0\x9F\x84\x91", 'B' },
           { "\xEF\xBB\xBF" "B", 'B' }, { "the answer is \xE2\x80\x9C" "B\xE2\x80\x9D.", 'B' });
    /* A box whose content is not an option, or several options. */
    EXPECT("strict", fruits,
           { "The answer is B. So \\boxed{42}", 'B' }, { "The answer is B.\n\\boxed{\\frac{1}{2}}", 'B' }, { "\\boxed{42}", '-' },
           { "\\boxed{B} and \\boxed{x}", 'B' }, { "The answer is B. [[E]]", 'B' }, { "The answer is B. \\boxed{A, C}", '-' },
           { "The answer is B. <answer>none of them</answer>", '-' }, { "\\boxed{\\text{E}}", '-' }, { "$5 or $6: \\boxed{C}", 'C' });
    /* An amount of money is not a formula, but the text of an option may be one. */
    static const char *const prices[] = { "$5", "$6", "$x^2$", "\\frac{1}{2}" };
    EXPECT("strict", prices, { "The answer is $6.", 'B' }, { "$5", 'A' }, { "x^2", 'C' }, { "The answer is $\\frac{1}{2}$", 'D' },
           { "\\boxed{\\frac{1}{2}}", 'D' }, { "$5 and $6", '-' });
}

static void test_strict_statements(void **state)
{
    (void)state;
    EXPECT("strict", fruits,
           { "Option B", 'B' }, { "option (b)", 'B' }, { "Choice B.", 'B' }, { "Option B: a pear", 'B' }, { "Letter B", 'B' }, { "Option: B", 'B' },
           { "B is the answer", 'B' }, { "(B) is the correct answer.", 'B' }, { "B would be the answer", 'B' }, { "I think B seems correct", 'B' },
           { "B is the most likely", 'B' }, { "a pear is the answer", 'B' }, { "So a pear is correct.", 'B' },
           { "Correct option: B", 'B' }, { "The correct option is (B)", 'B' }, { "Correct choice - it is B; best choice: D", 'D' },
           { "My choice is B", 'B' }, { "Final answer: B", 'B' }, { "Selected option: (B)", 'B' },
           { "Ans: B", 'B' }, { "Ans. B", 'B' }, { "ANS = B", 'B' }, { "Answer = B", 'B' }, { "Answer B", 'B' }, { "Answer (B).", 'B' },
           { "The correct answer is option (B)", 'B' }, { "The answer is the letter B", 'B' }, { "The answer is choice B.", 'B' },
           { "The answer is therefore B", 'B' }, { "The answer is, clearly, (B)", 'B' }, { "The answer should therefore be B", 'B' },
           { "The answer to the question is B.", 'B' }, { "The answer is option: B", 'B' }, { "The answer is most likely a pear.", 'B' },
           { "I choose B because it grows.", 'B' }, { "I would go with option (B).", 'B' }, { "We pick B", 'B' },
           { "It grows.\nSo, B.", 'B' }, { "It grows.\nTherefore (B)", 'B' }, { "B - a pear", 'B' }, { "B \xE2\x80\x93 a pear", 'B' },
           { "b) a pear", 'B' }, { "B a pear", 'B' }, { "B, a pear", 'B' });
    EXPECT("strict", fruits,
           { "A\nB\nC\nD", '-' }, { "A.\nB.\nC.\nD.", '-' }, { "A) Apple\nB) a pear\nC) no fruit at all\nD) Cherry", '-' },
           { "A, B, C, D", '-' }, { "A B C D", '-' }, { "A. Apple B. a pear C. no fruit at all D. Cherry", '-' },
           { "A/B", '-' }, { "- A\n- B\n- C\n- D", '-' }, { "A: Apple, B: a pear", '-' }, { "Apple\na pear\nno fruit at all\nCherry", '-' },
           { "The answer is (A) Apple or (B) a pear", '-' }, { "I choose A or B", '-' }, { "The answer is B. The answer isn't B.", '-' },
           { "I would answer A question like this", '-' }, { "The answer (B) fits badly", 'B' }, { "B isn't the answer", '-' },
           { "Is it B? Choose one.", '-' }, { "Options: B", '-' }, { "the option", '-' }, { "Option", '-' });
    /* One sentence, then the list of options, then the answer. */
    EXPECT("strict", fruits, { "A. Apple\nB. a pear\nC. no fruit at all\nD. Cherry\nThe answer is C.", 'C' },
           { "B\nA pear grows on trees.", 'B' }, { "(B)\nbecause (B) is red", 'B' });
    static const char *const answers[] = { "yes", "no", "most likely", "the answer" };
    EXPECT("strict", answers, { "The answer is no", 'B' }, { "The answer is most likely", 'C' }, { "yes", 'A' }, { "Yes, that is so.", '-' });
    tn_sample index = sample_of(fruits, 4, "1");
    assert_true(judge("strict", &index, "The answer is option 1.").correct);
    assert_true(judge("strict", &index, "\\boxed{1}").correct);
    assert_false(judge("strict", &index, "The answer is option 2.").correct);
}

/* Opinions, dashes, and conclusions in the middle of a line; and what looks like them. */
static void test_strict_opinions(void **state)
{
    (void)state;
    EXPECT("strict", fruits,
           { "I think it's B", 'B' }, { "I think it\xE2\x80\x99s (b).", 'B' }, { "I believe that it is option B because it grows.", 'B' },
           { "I'd say B, since it grows.", 'B' }, { "My guess is B.", 'B' }, { "I think it must be B. Apples are red.", 'B' },
           { "I guess it's probably B", 'B' }, { "I think it's a pear.", 'B' }, { "I am sure it is (B) a pear.", 'B' },
           { "I think B", 'B' }, { "It must be B.", 'B' }, { "It's B", 'B' }, { "It grows. It is B.", 'B' },
           { "Answer - B", 'B' }, { "Answer \xE2\x80\x93 (B)", 'B' }, { "Answer -> B", 'B' }, { "Correct option - B.", 'B' },
           { "Final answer => B", 'B' }, { "ans - B", 'B' }, { "Answer \xE2\x86\x92 B", 'B' },
           { "So A. is false. Therefore, B.", 'B' }, { "A is too small. Hence (B).", 'B' }, { "They are red, so B.", 'B' },
           { "It grows, and therefore it is B.", 'B' }, { "Thus, it must be option B!", 'B' }, { "C is red. So, B. a pear", 'B' });
    EXPECT("strict", fruits,
           { "I think A dog runs", '-' }, { "I think it's A good choice", '-' }, { "I think it's A or B", '-' }, { "I think B is wrong", '-' },
           { "I don't think it's B", '-' }, { "I think it's not B", '-' }, { "If it is B, it grows", '-' }, { "Suppose it's B.", '-' },
           { "Is it B? Choose one.", '-' }, { "It is A fruit.", '-' }, { "It's a pear.", '-' }, { "I think it's a pear tree.", '-' },
           { "I think it's E", '-' }, { "The answer - which is B - grows", '-' }, { "Answer - A dog", '-' }, { "re-answer-B", '-' },
           { "So A. is false.", '-' }, { "They say so. So A. Smith wrote", '-' }, { "Therefore, A, B and C.", '-' }, { "Therefore, A or B.", '-' },
           { "so a\npear", '-' }, { "therefore A fruit", '-' }, { "Therefore, B is false.", '-' }, { "So B, C and D are wrong.", '-' },
           { "It is B, C", '-' });
}

/* Open questions: accepted answers, and what counts as the same. */
static void test_open_answers(void **state)
{
    (void)state;
    static const char *const others[] = { "7", "about seven" };
    tn_sample sample = { .id = "x", .question = "?", .context = "", .label = "seven", .open = true, .answers = others, .answer_count = 2,
                         .domain = "", .topic = "", .subject = "", .grade = "" };
    static const struct { const char *text; bool exact, match, strict; } cases[] = {
        { "seven", true, true, true },           { " 7\n", true, true, true },        { "about seven", true, true, true },
        { "Seven.", false, true, true },         { "The seven", false, true, false },  { "It is 7.", false, false, false },
        { "The answer is 7.", false, true, true }, { "Answer: Seven", false, true, true }, { "So it grows.\nThe answer is: seven!", false, true, true },
        { "**7**", false, true, true },          { "\\boxed{7}", false, false, true }, { "eight", false, false, false },
        { "70", false, false, false },           { "", false, false, false },          { "About, the SEVEN", false, true, false },
        { "The answer is 7 or 8", false, false, true }, { "-7", false, false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bool expected[] = { cases[i].exact, cases[i].match, cases[i].strict };
        static const char *const names[] = { "exact", "match", "strict" };
        for (size_t k = 0; k < 3; k++) {
            tn_verdict verdict = judge(names[k], &sample, cases[i].text);
            if (verdict.correct != expected[k])
                fail_msg("%s: '%s' is %s", names[k], cases[i].text, verdict.correct ? "right" : "wrong");
            assert_int_equal(verdict.choice, TN_NO_CHOICE);
        }
    }
    static const struct { const char *one, *two; bool same; } forms[] = {
        { "Don't", "dont", true },     { "1,000", "1000", true },     { "3.50", "3.5", false },      { "-5", "5", false },
        { "a dog", "the dog", true },  { "dog's", "dogs", true },     { "red-blue", "red blue", true }, { "two cats", "2 cats", true },
        { "50%", "50", false },        { "$5", "5", false },          { "1.5", "15", false },        { "U.S.", "u s", true },
        { "\xEF\xBC\xA2lue", "blue", true }, { "Stra\xC3\x9F" "e", "strasse", false }, { "a", "the", false }, { "3, 4", "3 4", true },
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        tn_sample one = { .id = "x", .question = "?", .context = "", .label = forms[i].one, .open = true };
        if (judge("match", &one, forms[i].two).correct != forms[i].same)
            fail_msg("'%s' and '%s'", forms[i].one, forms[i].two);
    }
    /* If a question is known to be open, a label that could be a letter or an index is text. */
    tn_sample number = { .id = "x", .question = "?", .context = "", .label = "42", .open = true };
    assert_true(judge("strict", &number, "The answer is 42.").correct && !judge("strict", &number, "The answer is 41.").correct);
    EXPECT("exact", fruits, { "B", 'B' }, { "a pear", 'B' }, { "A pear", '-' }, { " Cherry ", 'D' }, { "B.", '-' });
    EXPECT("match", fruits, { "B.", 'B' }, { "The pear!", 'B' }, { "(a)", 'A' }, { "The answer is D.", 'D' }, { "x", '-' });
}

/* Gold answers in the form that is trained score all, random ones about 1 of n (P50). */
static void test_gold_and_random(void **state)
{
    (void)state;
    static const char *const scorers[] = { "m3cot", "ivtlr-m3cot", "ivtlr-sqa", "sqa", "strict" };
    enum { ROUNDS = 4000 };
    tn_rng rng = tn_rng_seed(11);
    for (size_t k = 0; k < sizeof scorers / sizeof *scorers; k++) {
        size_t right = 0;
        for (size_t i = 0; i < ROUNDS; i++) {
            char text[64], label[2] = { (char)('A' + i % 4), '\0' };
            tn_sample sample = sample_of(fruits, 4, label);
            snprintf(text, sizeof text, "%s %s.", k == 3 ? "The answer is" : "Therefore, the answer is", label);
            assert_true(judge(scorers[k], &sample, text).correct);
            snprintf(text, sizeof text, "%s %c.", k == 3 ? "The answer is" : "Therefore, the answer is",
                     (char)('A' + tn_rng_next(&rng) % 4));
            right += judge(scorers[k], &sample, text).correct;
        }
        /* 1000 expected, standard deviation 27. */
        assert_in_range(right, 860, 1140);
    }
}

/* Work grows with the text, not with its square: these take a blink or for ever. */
static void test_hostile_texts(void **state)
{
    (void)state;
    static const char *const pieces[] = { "(", "A ", "(A", "[[", "]]", "<answer>", "</answer>", "answer: ", "answer:\n", "the answer is ",
                                          "[Answer]", "\xCE\xA3", "A) ", "*", "answer is", "(A) Apple ", "\\boxed{", " ", "or B ", "$", "$x", "$$", "<b>", "</b>", "\\text{",
                                          "{", "}", "\\", "I choose ", "answer ", "- ", "# ", "$ {", "Apple is ", "A. ", "\\textcolor{" };
#if defined(__SANITIZE_ADDRESS__)
    enum { SIZE = 20000 }; /* the same code; how its work grows is seen without a sanitizer */
#else
    enum { SIZE = 200000 };
#endif
    char *text = malloc(SIZE + 32);
    tn_sample sample = sample_of(fruits, 4, "A");
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t length = 0;
        for (; length < SIZE; length += strlen(pieces[i]))
            memcpy(text + length, pieces[i], strlen(pieces[i]) + 1);
        for (const tn_scorer *const *scorer = tn_scorers; *scorer != NULL; scorer++)
            judge((*scorer)->name, &sample, text);
    }
    free(text);
}

static void test_names(void **state)
{
    (void)state;
    const tn_scorer *scorer;
    size_t variant;
    tenebra_error error;
    assert_string_equal(tn_scorer_standard()->name, "strict");
    assert_int_equal(tn_scorer_choose("answer_tag:last", &scorer, &variant, NULL), TENEBRA_OK);
    assert_int_equal(variant, 1);
    assert_int_equal(tn_scorer_choose("nothing", &scorer, &variant, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "ivtlr-m3cot"));
    assert_int_equal(tn_scorer_choose("answer_tag:x", &scorer, &variant, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "first, last"));
    assert_int_equal(tn_scorer_choose("sqa:x", &scorer, &variant, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_label_index("C"), 2);
    assert_int_equal(tn_label_index("12"), 12);
    assert_int_equal(tn_label_index("c"), TN_NO_CHOICE);
    assert_int_equal(tn_label_index(""), TN_NO_CHOICE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_m3cot),
        cmocka_unit_test(test_sqa),
        cmocka_unit_test(test_ivtlr),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_last), cmocka_unit_test(test_strict),
        cmocka_unit_test(test_strict_dressed),
        cmocka_unit_test(test_strict_statements), cmocka_unit_test(test_strict_opinions),
        cmocka_unit_test(test_open_answers),
        cmocka_unit_test(test_strict_indices_and_words),
        cmocka_unit_test(test_gold_and_random),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
