// Colours for code, a line at a time, so that a block that grows costs its new lines alone and time is linear whatever
// the text is: no expression here can go back over what it has read. It knows comments, strings, numbers and words;
// what it does not know stays plain. (highlight.js 9 is 850 kB, has had no care since 2021, and begins anew each time.)
const words = (text) => new Set(text.split(" "));

const C_WORDS = "auto bool break case char class const constexpr continue default delete do double else enum explicit extern false float for friend goto if inline int int64_t long namespace new nullptr operator private protected public register return short signed sizeof size_t static struct switch template this throw true try catch typedef typename uint8_t uint32_t uint64_t union unsigned using virtual void volatile while override final noexcept std string vector concept requires co_await co_return";
const JS_WORDS = "abstract as async await boolean break case catch class const continue debugger default delete do else enum export extends false finally for from function get if implements import in instanceof interface let new null number of private protected public readonly return set static string super switch this throw true try type typeof undefined var void while yield any unknown never";
const PY_WORDS = "and as assert async await break class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield print range len int str float list dict set tuple bool";
const JAVA_WORDS = "abstract assert boolean break byte case catch char class const continue default do double else enum extends final finally float for fun if implements import in instanceof int interface is internal long namespace native new null object open out override package private protected public return sealed short static string super switch synchronized this throw throws transient true false try using val var virtual void volatile when while async await record bool decimal foreach guard let func struct protocol extension self nil init where";
const RUST_WORDS = "as async await box break const continue crate dyn else enum extern false fn for i8 i16 i32 i64 if impl in let loop match mod move mut pub ref return self Self static str struct super trait true type u8 u16 u32 u64 unsafe use usize isize f32 f64 bool char where while Some None Ok Err Vec String Option Result Box";
const GO_WORDS = "any bool break byte case chan const continue default defer else error fallthrough false float64 for func go goto if import int int64 interface map nil package range return rune select string struct switch true type uint8 var make len append";
const SH_WORDS = "if then else elif fi for while until do done case esac function in select time return exit local export readonly declare set unset shift break continue trap source echo cd sudo test eval exec true false";
const SQL_WORDS = "select from where insert into values update set delete create table view index drop alter add primary key foreign references not null unique default join left right inner outer full on group by order having limit offset as and or in is like between exists union all distinct case when then else end begin commit rollback integer text real varchar int bigint boolean date timestamp with asc desc count sum avg min max";

const C = { words: words(C_WORDS), line: ["//"], block: ["/*", "*/"], strings: "\"'", marks: "#" };
const LANGUAGES = {
  c: C,
  js: { words: words(JS_WORDS), line: ["//"], block: ["/*", "*/"], strings: "\"'`", over: "`" },
  python: { words: words(PY_WORDS), line: ["#"], strings: "\"'", triple: true, marks: "@" },
  java: { words: words(JAVA_WORDS), line: ["//"], block: ["/*", "*/"], strings: "\"'", triple: true, marks: "@" },
  rust: { words: words(RUST_WORDS), line: ["//"], block: ["/*", "*/"], strings: '"', marks: "#" },
  go: { words: words(GO_WORDS), line: ["//"], block: ["/*", "*/"], strings: "\"'`", over: "`" },
  sh: { words: words(SH_WORDS), line: ["#"], strings: "\"'", over: "\"'", marks: "$" },
  sql: { words: words(SQL_WORDS), line: ["--"], block: ["/*", "*/"], strings: "'\"", anyCase: true },
  json: { words: words("true false null"), line: [], strings: '"' },
  yaml: { words: words("true false null yes no on off"), line: ["#"], strings: "\"'" },
  lua: { words: words("and break do else elseif end false for function goto if in local nil not or repeat return then true until while self class def module require begin rescue ensure unless yield attr_reader puts"), line: ["--", "#"], strings: "\"'" },
  css: { words: words("important none auto inherit initial flex grid block inline solid absolute relative fixed sticky"), line: [], block: ["/*", "*/"], strings: "\"'", marks: "@#." },
  html: { words: words(""), line: [], block: ["<!--", "-->"], strings: "\"'", tags: true },
  diff: { words: words(""), line: [], strings: "", isDiff: true },
};
const OTHER_NAMES = { "c++": "c", cpp: "c", h: "c", hpp: "c", cc: "c", cuda: "c", opencl: "c", javascript: "js", jsx: "js", ts: "js",
  tsx: "js", typescript: "js", mjs: "js", py: "python", python3: "python", kotlin: "java", kt: "java", cs: "java",
  csharp: "java", "c#": "java", swift: "java", scala: "java", dart: "java", php: "java", rs: "rust", golang: "go", bash: "sh",
  shell: "sh", zsh: "sh", console: "sh", dockerfile: "sh", make: "sh", makefile: "sh", cmake: "sh", jsonl: "json", json5: "json",
  yml: "yaml", toml: "yaml", ini: "yaml", ruby: "lua", rb: "lua", r: "python", scss: "css", xml: "html", svg: "html",
  patch: "diff", mysql: "sql", postgresql: "sql" };

const LINE_CHARACTERS_MAX = 2000; // a longer line stays plain

export function languageOf(name) {
  const lower = name.toLowerCase();
  const name_ = Object.hasOwn(OTHER_NAMES, lower) ? OTHER_NAMES[lower] : lower;
  return Object.hasOwn(LANGUAGES, name_) ? LANGUAGES[name_] : null;
}

const isLetter = (c) => (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || c === "_";
const isDigit = (c) => c >= "0" && c <= "9";

/** Pieces [class or "", text] of a line, and what the next line begins in ("" or what ends it: "*" + "/", a quote). */
export function colouredLine(language, line, inside) {
  if (line.length > LINE_CHARACTERS_MAX) return { pieces: [["", line]], inside };
  if (language.isDiff) return { pieces: [[{ "+": "hl-add", "-": "hl-cut", "@": "hl-mark" }[line[0]] ?? "", line]], inside: "" };
  const pieces = [];
  const push = (kind, text) => {
    const last = pieces[pieces.length - 1];
    if (last && last[0] === kind) last[1] += text;
    else if (text) pieces.push([kind, text]);
  };
  const n = line.length;
  let i = 0;
  if (inside) i = finish(language, line, 0, inside, push);
  let goesOn = i < 0 ? inside : "";
  while (i >= 0 && i < n) {
    const c = line[i];
    const rest = (text) => line.startsWith(text, i);
    if (language.line.some(rest) && !(c === "#" && i > 0 && line[i - 1] !== " ")) {
      push("hl-note", line.slice(i));
      break;
    }
    if (language.block && rest(language.block[0])) {
      goesOn = language.block[1];
      push("hl-note", language.block[0]);
      i = finish(language, line, i + language.block[0].length, goesOn, push);
      if (i >= 0) goesOn = "";
    } else if (language.strings.includes(c)) {
      const quote = language.triple && rest(c.repeat(3)) ? c.repeat(3) : c;
      push("hl-text", quote);
      i = finish(language, line, i + quote.length, quote, push);
      if (i < 0 && (quote.length === 3 || language.over?.includes(quote))) goesOn = quote;
    } else if (isDigit(c)) {
      const from = i;
      while (i < n && (isDigit(line[i]) || isLetter(line[i]) || line[i] === ".")) ++i;
      push("hl-number", line.slice(from, i));
    } else if (isLetter(c) || (language.marks?.includes(c) && isLetter(line[i + 1] ?? ""))) {
      const from = i++;
      while (i < n && (isLetter(line[i]) || isDigit(line[i]) || (language.tags && line[i] === "-"))) ++i;
      const word = line.slice(from, i);
      const isKnown = language.words.has(language.anyCase ? word.toLowerCase() : word);
      const isTag = language.tags && (line[from - 1] === "<" || line[from - 1] === "/");
      push(isKnown || isTag ? "hl-word" : isLetter(c) ? (line[i] === "(" ? "hl-call" : "") : "hl-mark", word);
    } else {
      push("", c);
      ++i;
    }
  }
  return { pieces, inside: goesOn };
}

// Reads on until `end`; where the next thing begins, or -1 where the line ends inside.
function finish(language, line, from, end, push) {
  const kind = end.length === 2 || end === "-->" ? "hl-note" : "hl-text";
  const isString = kind === "hl-text";
  for (let i = from; i < line.length; ++i) {
    if (isString && line[i] === "\\") ++i;
    else if (line.startsWith(end, i)) {
      push(kind, line.slice(from, i + end.length));
      return i + end.length;
    }
  }
  push(kind, line.slice(from));
  return -1;
}
