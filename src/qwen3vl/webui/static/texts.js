// Words in the chosen language. Changing it tells everybody who shows words.

let texts = {}, language = "en";
const KEY = "qwen3vl.language";

export function setUpTexts(all, setting) {
  texts = all;
  const chosen = localStorage.getItem(KEY) ?? (setting === "auto" ? byBrowser() : setting);
  language = chosen in texts ? chosen : "en";
  document.documentElement.lang = language;
}

const byBrowser = () => (navigator.languages?.[0] ?? navigator.language).toLowerCase().startsWith("zh") ? "zh" : "en";

export const currentLanguage = () => language;

export function setLanguage(chosen) {
  language = chosen;
  localStorage.setItem(KEY, chosen);
  document.documentElement.lang = chosen;
}

export function t(key, values = {}) {
  const text = texts[language][key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// What the server says in English sentences, in the page's language where it is known.
export function said(sentence) {
  for (const [pattern, text] of Object.entries(texts[language].said)) {
    const match = new RegExp(`^${pattern}$`, "s").exec(sentence);
    if (match) return text.replace(/\$(\d)/g, (_, number) => match[number]);
  }
  return sentence;
}

// Why something failed. The sentences of the server are English; where only their code is known, that is told.
export function explain(error) {
  const sentence = error.message || String(error);
  const told = said(sentence);
  return told === sentence ? (texts[language].codes[error.code] ?? told) : told;
}

export const number = (value, digits = 0) =>
  value.toLocaleString(language, { maximumFractionDigits: digits, minimumFractionDigits: 0 });
