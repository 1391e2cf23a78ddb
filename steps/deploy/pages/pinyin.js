"use strict";
// Texts to syllables: pinyin with digits or accents, and hanzi by a small dictionary. As steps/deploy/assess.py.

const ACCENTS = {a: "āáǎà", e: "ēéěè", i: "īíǐì", o: "ōóǒò", u: "ūúǔù", "ü": "ǖǘǚǜ"};

/** ni3 to nǐ. */
function accent(syllable) {
  const base = syllable.slice(0, -1).replace("v", "ü"), tone = Number(syllable.slice(-1));
  if (tone === 5) return base;
  const at = /[ae]/.test(base) ? base.search(/[ae]/) : base.includes("ou") ? base.indexOf("o")
    : Math.max(...[..."iouü"].map(vowel => base.lastIndexOf(vowel)));
  if (at < 0) return base + ["", "\u0304", "\u0301", "\u030c", "\u0300"][tone];
  return base.slice(0, at) + ACCENTS[base[at]][tone - 1] + base.slice(at + 1);
}

/** nǐ, ni3, Lü4, lu:4 to a syllable with its digit; a syllable without either has the neutral tone. */
function digits(written) {
  let text = written.normalize("NFC").toLowerCase().replace("u:", "ü"), tone = "5";
  const digit = text.match(/[0-5]$/);
  if (digit) {
    tone = digit[0] === "0" ? "5" : digit[0];
    text = text.slice(0, -1);
  }
  for (const [vowel, marked] of Object.entries(ACCENTS)) {
    [...marked].forEach((char, number) => {
      if (text.includes(char)) { text = text.replace(char, vowel); tone = String(number + 1); }
    });
  }
  return text.replace("ü", "v").replace(/^([jqxy])v/, "$1u").replace(/^([ln])ue$/, "$1ve") + tone;
}

/** A dictionary of the page: characters by syllable ("ni3": "你拟…"), and phrases that are read otherwise. */
function loadDictionary({characters, phrases}) {
  const single = new Map(), longer = new Map();
  for (const [syllable, chars] of Object.entries(characters)) for (const char of chars) single.set(char, syllable);
  for (const line of phrases.split("\n")) {
    const [phrase, ...syllables] = line.split(" ");
    longer.set(phrase, syllables);
  }
  return {single, longer};
}

/** The targets of a text: {targets: [{syllable, accepted, grapheme}], unknown: what could not be read}. */
function readText(text, dictionary) {
  const found = [], unknown = [];
  for (const run of text.matchAll(/\p{Script=Han}+|[a-zü:\u00c0-\u01ff\u0300-\u030c]+[0-5]?/giu)) {
    if (!/\p{Script=Han}/u.test(run[0])) {
      found.push({syllable: digits(run[0]), grapheme: run[0], hanzi: false});
      continue;
    }
    const chars = [...run[0]];
    for (let at = 0; at < chars.length;) {
      let size = Math.min(4, chars.length - at);
      while (size > 1 && !dictionary.longer.has(chars.slice(at, at + size).join(""))) size--;
      const phrase = chars.slice(at, at + size).join("");
      const syllables = size > 1 ? dictionary.longer.get(phrase) : [dictionary.single.get(phrase)];
      [...phrase].forEach((char, i) => {
        if (syllables[i]) found.push({syllable: syllables[i], grapheme: char, hanzi: true});
        else unknown.push(char);
      });
      at += size;
    }
  }
  return {targets: found.map((one, at) => ({syllable: one.syllable, grapheme: one.grapheme,
                                            accepted: acceptedForms(one, found[at - 1], found[at + 1])})), unknown};
}

/** A third tone before another may be a second; 一 and 不 may change by what follows. */
function acceptedForms(one, before, behind) {
  const forms = [one.syllable], base = one.syllable.slice(0, -1), tone = one.syllable.slice(-1);
  const next = behind ? (behind.grapheme === "个" ? "4" : behind.syllable.slice(-1)) : "";
  if (tone === "3" && next === "3") forms.push(base + "2");
  if (!one.hanzi || !behind || !"一不".includes(one.grapheme)) return forms;
  const inNumber = before && /[第〇零一二三四五六七八九十]/.test(before.grapheme);
  if (before && before.grapheme === behind.grapheme) forms.push(base + "5");
  else if (one.grapheme === "一" && !inNumber) forms.push(next === "4" ? "yi2" : "yi4");
  else if (one.grapheme === "不" && next === "4") forms.push("bu2");
  return forms;
}
