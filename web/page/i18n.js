// Every visible string, in the language of the person. `t('download.left', {time})` fills the braces.
import {state, set} from './store.js';

export const LANGUAGES = {en: 'English', zh: '中文'};
const texts = {};

async function fetchTexts(language) {
  if (texts[language]) return;
  const response = await fetch(new URL(`i18n/${language}.json`, import.meta.url));
  texts[language] = await response.json();
}

/** Fetches the person's language. */
export async function loadTexts() {
  if (!(state.language in LANGUAGES)) set({language: navigator.language.startsWith('zh') ? 'zh' : 'en'});
  await fetchTexts(state.language);
}

/** Fetches the others, so that the switch needs no network. */
export const loadOtherTexts = () => Promise.all(Object.keys(LANGUAGES).map(fetchTexts));

/** Goes on in another language. */
export async function speak(language) {
  await fetchTexts(language);
  set({language});
}

export function t(key, values = {}) {
  const text = texts[state.language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

/** Whether there is a text of this name. */
export const has = key => key in texts[state.language];

export const megabytes = bytes => {
  const mb = bytes / 1e6;
  return new Intl.NumberFormat(state.language, {maximumFractionDigits: mb < 10 ? 1 : 0}).format(mb);
};

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(state.language, {minimumFractionDigits: digits, maximumFractionDigits: digits}).format(value);

/** A number with as many digits as it has. */
export const trimmed = value => new Intl.NumberFormat(state.language, {maximumSignificantDigits: 6}).format(value);

export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return t('seconds', {n: whole});
  return t('minutes', {m: Math.floor(whole / 60), s: String(whole % 60).padStart(2, '0')});
}

/** A number in three digits that count. */
export const figure = value => new Intl.NumberFormat(state.language, {maximumSignificantDigits: 3}).format(value);

export const percent = (value, digits = 1) =>
  new Intl.NumberFormat(state.language, {style: 'percent', maximumFractionDigits: digits}).format(value);
