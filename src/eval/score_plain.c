#include "eval/score_plain.h"

#include <string.h>

/* How far ahead the end of a formula or of a tag is searched, so that the work stays linear. */
enum { AHEAD = 256, DEPTH_MAX = 64, TAG_MAX = 8 };

typedef enum brace { PLAIN_BRACE, DROPPED_BRACE } brace;

typedef struct plain {
    tn_text *out;
    tn_slice text;
    size_t at;
    size_t closing;       /* position of the dollars that close a formula; 0: none */
    size_t emphasis;      /* the same for underscores                                    */
    brace open[DEPTH_MAX]; /* braces that are open */
    size_t depth;
    size_t tags[TAG_MAX];  /* opened and dropped, by index in the table */
    tenebra_error *error;
} plain;

static tenebra_code put(plain *p, const char *bytes, size_t length)
{
    return tn_text_append(p->out, bytes, length, p->error);
}

static bool starts(const plain *p, size_t at, const char *word)
{
    size_t length = strlen(word);
    return p->text.length - at >= length && memcmp(p->text.bytes + at, word, length) == 0;
}

static char byte_at(const plain *p, size_t at)
{
    return at < p->text.length ? p->text.bytes[at] : '\0';
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ------------------------------------------------------------ characters -- */

/* The ASCII replacement of a character; NULL: unchanged. `buffer` [4] may be used for it. */
static const char *ascii_of(int32_t c, char *buffer)
{
    static const struct { int32_t code; const char *text; } others[] = {
        { 0x3000, " " }, { 0x3001, "," }, { 0x3002, "." }, { 0x300A, "<" }, { 0x300B, ">" }, { 0x300C, "\"" }, { 0x300D, "\"" },
        { 0x300E, "\"" }, { 0x300F, "\"" }, { 0x3010, "[" }, { 0x3011, "]" }, { 0x3014, "(" }, { 0x3015, ")" }, { 0x3016, "[" },
        { 0x3017, "]" }, { 0x200B, "" }, { 0x200C, "" }, { 0x200D, "" }, { 0x2060, "" }, { 0xFEFF, "" }, { 0xFE0F, "" },
    };
    if (c < 0x200B)
        return NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].code == c)
            return others[i].text;
    char letter = '\0';
    bool enclosed = false;
    if (c >= 0xFF01 && c <= 0xFF5E)
        letter = (char)(c - 0xFF01 + '!');
    else if (c >= 0x24B6 && c <= 0x24CF)
        letter = (char)(c - 0x24B6 + 'A');
    else if (c >= 0x24D0 && c <= 0x24E9)
        letter = (char)(c - 0x24D0 + 'a');
    else if (c >= 0x1D400 && c <= 0x1D6A3)
        letter = (char)((c - 0x1D400) % 52 < 26 ? (c - 0x1D400) % 52 + 'A' : (c - 0x1D400) % 52 - 26 + 'a');
    else if ((enclosed = c >= 0x1F110 && c <= 0x1F129))
        letter = (char)(c - 0x1F110 + 'A');
    else if ((enclosed = c >= 0x249C && c <= 0x24B5))
        letter = (char)(c - 0x249C + 'a');
    if (letter == '\0')
        return NULL;
    memcpy(buffer, (const char[]){ enclosed ? '(' : letter, enclosed ? letter : '\0', enclosed ? ')' : '\0', '\0' }, 4);
    return buffer;
}

/* ------------------------------------------------------------------- TeX -- */

typedef enum command { NO_COMMAND, WRAPPER, BOX, COLOURED, COLOUR, SPACE, NOTHING } command;

static command find_command(const char *name, size_t length)
{
    static const struct { const char *names; command what; } table[] = {
        { " text textbf textit textrm texttt textsf textsc textup textmd textsl textnormal emph underline mathrm mathbf mathit mathsf "
          "mathtt mathbb mathcal mathfrak mathscr mathnormal boldsymbol bm pmb operatorname mbox hbox ensuremath ", WRAPPER },
        { " boxed fbox framebox ", BOX },
        { " textcolor colorbox ", COLOURED },
        { " color ", COLOUR },
        { " quad qquad ", SPACE },
        { " left right big Big bigl bigr Bigl Bigr displaystyle textstyle bf it rm sf tt bfseries itshape ", NOTHING },
    };
    char word[20];
    if (length == 0 || length + 3 > sizeof word)
        return NO_COMMAND;
    word[0] = word[length + 1] = ' ';
    memcpy(word + 1, name, length);
    word[length + 2] = '\0';
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strstr(table[i].names, word) != NULL)
            return table[i].what;
    return NO_COMMAND;
}

static size_t skip_blanks(const plain *p, size_t at)
{
    while (is_blank(byte_at(p, at)))
        at++;
    return at;
}

/* The position after "{...}" at `at`, which must be short; `at` if there is none. */
static size_t skip_argument(const plain *p, size_t at)
{
    size_t start = skip_blanks(p, at), limit = start + AHEAD;
    if (byte_at(p, start) != '{')
        return at;
    for (size_t i = start; i < p->text.length && i < limit; i++)
        if (p->text.bytes[i] == '}')
            return i + 1;
    return at;
}

/* Opens a brace at `at`, dropped or not. Braces nested too deeply are kept. */
static tenebra_code open_brace(plain *p, size_t at, brace kind)
{
    p->at = at + 1;
    if (p->depth == DEPTH_MAX)
        return put(p, "{", 1);
    p->open[p->depth++] = kind;
    return kind == PLAIN_BRACE ? put(p, "{", 1) : TENEBRA_OK;
}

static tenebra_code close_brace(plain *p)
{
    bool dropped = p->depth > 0 && p->open[--p->depth] == DROPPED_BRACE;
    p->at++;
    return dropped ? TENEBRA_OK : put(p, "}", 1);
}

/* A box whose content starts at `at`, with or without braces. */
static tenebra_code put_box(plain *p, size_t at)
{
    size_t end = skip_blanks(p, at), begin = end;
    TN_TRY(put(p, "\\boxed", 6));
    if (byte_at(p, begin) == '{')
        return open_brace(p, begin, PLAIN_BRACE);
    while (is_letter(byte_at(p, end)) || (byte_at(p, end) >= '0' && byte_at(p, end) <= '9'))
        end++;
    p->at = end;
    TN_TRY(put(p, "{", 1));
    TN_TRY(put(p, p->text.bytes + begin, end - begin));
    return put(p, "}", 1);
}

/* At a backslash. Several count as one if a command follows, because some answers are escaped. */
static tenebra_code put_command(plain *p)
{
    size_t name = p->at, end;
    while (byte_at(p, name) == '\\')
        name++;
    for (end = name; is_letter(byte_at(p, end)) && end < name + 20;)
        end++;
    command what = find_command(p->text.bytes + name, end - name);
    size_t next = skip_blanks(p, end);
    switch (what) {
    case BOX:
        return put_box(p, end);
    case COLOURED:
    case COLOUR:
        p->at = next = skip_blanks(p, skip_argument(p, end));
        return what == COLOURED && byte_at(p, next) == '{' ? open_brace(p, next, DROPPED_BRACE) : TENEBRA_OK;
    case WRAPPER:
        p->at = next;
        return byte_at(p, next) == '{' ? open_brace(p, next, DROPPED_BRACE) : TENEBRA_OK;
    case SPACE:
        p->at = end;
        return put(p, " ", 1);
    case NOTHING:
        p->at = next;
        return TENEBRA_OK;
    default:
        break;
    }
    char mark = byte_at(p, name);
    bool escaped = name == p->at + 1 && mark != '\0';
    size_t from = p->at;
    p->at = name + 1 < p->text.length ? name + 1 : p->text.length;
    if (escaped && strchr("()[]!", mark) != NULL)
        return TENEBRA_OK;
    if (escaped && strchr(",;: ", mark) != NULL)
        return put(p, " ", 1);
    if (escaped && strchr("{}_%$&#*`", mark) != NULL)
        return put(p, &mark, 1);
    p->at = name; /* not a known command */
    return put(p, p->text.bytes + from, name - from);
}

/* At a dollar: opens a formula that is closed nearby, or closes one, or is a plain dollar. */
static tenebra_code put_dollar(plain *p)
{
    size_t width = starts(p, p->at, "$$") ? 2 : 1, at = p->at, limit = at + AHEAD;
    if (p->closing > 0 && at > p->closing)
        p->closing = 0; /* part of a command */
    if (at == p->closing && p->closing > 0) {
        p->closing = 0;
        p->at += width;
        return TENEBRA_OK;
    }
    char first = byte_at(p, at + width);
    bool opens = p->closing == 0 && (width == 2 || (first != '\0' && !is_blank(first) && first != '\n'));
    for (size_t i = at + width; opens && i < p->text.length && i < limit; i++) {
        char before = p->text.bytes[i - 1], behind = byte_at(p, i + 1);
        if (width == 1 && starts(p, i, "\n\n"))
            break;
        bool closes = width == 2 ? starts(p, i, "$$")
                                 : p->text.bytes[i] == '$' && i > at + 1 && before != '\\' && !is_blank(before) && before != '\n' &&
                                       !(behind >= '0' && behind <= '9');
        if (closes) {
            p->closing = i;
            p->at += width;
            return TENEBRA_OK;
        }
    }
    p->at++;
    return put(p, "$", 1);
}

/* ------------------------------------------------------- HTML, Markdown -- */

/* At '<': drops an emphasis tag that is closed nearby, or the tag that closes it. */
static tenebra_code put_tag(plain *p)
{
    static const char *const names[TAG_MAX] = { "b", "strong", "i", "em", "u", "mark", "code", "p" };
    bool closing = byte_at(p, p->at + 1) == '/';
    for (size_t t = 0; t < TAG_MAX; t++) {
        char open[16], close[16];
        size_t length = strlen(names[t]);
        memcpy(open + 1, names[t], length);
        memcpy(close + 2, names[t], length);
        open[0] = close[0] = '<';
        close[1] = '/';
        memcpy(open + 1 + length, ">", 2);
        memcpy(close + 2 + length, ">", 2);
        if (closing && p->tags[t] > 0 && starts(p, p->at, close)) {
            p->tags[t]--;
            p->at += strlen(close);
            return TENEBRA_OK;
        }
        if (closing || !starts(p, p->at, open))
            continue;
        size_t begin = p->at + strlen(open), end = begin + AHEAD < p->text.length ? begin + AHEAD : p->text.length;
        if (tn_slice_find(tn_slice_part(p->text, begin, end), TN_SLICE(close), 0) > end - begin)
            continue;
        p->tags[t]++;
        p->at = begin;
        return TENEBRA_OK;
    }
    p->at++;
    return put(p, "<", 1);
}

static bool is_word(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

/* At underscores: up to three around words mean emphasis. */
static tenebra_code put_underscores(plain *p)
{
    size_t at = p->at, behind = at, limit = at + AHEAD;
    while (byte_at(p, behind) == '_')
        behind++;
    size_t width = behind - at;
    char first = byte_at(p, behind);
    bool closes = p->emphasis > 0 && at == p->emphasis;
    bool opens = !closes && p->emphasis <= at && width <= 3 && (at == 0 || !is_word(p->text.bytes[at - 1])) && first != '\0' &&
                 !is_blank(first) && first != '\n';
    p->at = behind;
    p->emphasis = closes ? 0 : p->emphasis;
    for (size_t i = behind, end; opens && i < p->text.length && i < limit && p->text.bytes[i] != '\n'; i = end) {
        for (end = i; byte_at(p, end) == '_' && end < limit;)
            end++;
        if (end - i == width && !is_blank(p->text.bytes[i - 1]) && !is_word(byte_at(p, end))) {
            p->emphasis = i;
            return TENEBRA_OK;
        }
        end += end == i;
    }
    return closes ? TENEBRA_OK : put(p, p->text.bytes + at, width);
}

/* The position after the mark of a heading or of a list that starts at `at`. */
static size_t skip_line_mark(const plain *p, size_t at)
{
    size_t begin = skip_blanks(p, at), end = begin;
    while (byte_at(p, end) == '#' && end < begin + 6)
        end++;
    if (end == begin && (byte_at(p, end) == '-' || byte_at(p, end) == '+'))
        end++;
    else if (end == begin && starts(p, end, "\xE2\x80\xA2")) /* a bullet */
        end += 3;
    return end > begin && is_blank(byte_at(p, end)) ? skip_blanks(p, end) : at;
}

tenebra_code tn_plain_text(tn_text *out, tn_slice text, tenebra_error *error)
{
    plain p = { .out = out, .text = text, .error = error };
    p.at = skip_line_mark(&p, 0);
    while (p.at < text.length) {
        size_t next;
        char buffer[4];
        int32_t c = tn_slice_char(text, p.at, &next);
        const char *other = ascii_of(c, buffer);
        tenebra_code code;
        if (c == '\\')
            code = put_command(&p);
        else if (c == '$')
            code = put_dollar(&p);
        else if (c == '<')
            code = put_tag(&p);
        else if (c == '_')
            code = put_underscores(&p);
        else if (c == '{')
            code = open_brace(&p, p.at, PLAIN_BRACE);
        else if (c == '}')
            code = close_brace(&p);
        else {
            code = other != NULL ? put(&p, other, strlen(other)) : put(&p, text.bytes + p.at, next - p.at);
            p.at = c == '\n' ? skip_line_mark(&p, next) : next;
        }
        TN_TRY(code);
    }
    return TENEBRA_OK;
}
