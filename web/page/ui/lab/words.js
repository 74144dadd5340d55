// What methods, options and choices are called: in the person's language where we have a word, else as the method itself says.
import {has, t} from '../../i18n.js';
import {state} from '../../store.js';

const word = (key, otherwise) => has(key) ? t(key) : otherwise;

export const methodName = ({name}) => word(`lab.method.${name}`, name);
export const methodDoes = ({name, does}) => word(`lab.method.${name}.does`, does);

const optionKey = (method, name) => [`lab.option.${method}.${name}`, `lab.option.${name}`].find(has);

export function optionName(method, {name}) {
  const key = optionKey(method, name);
  return key ? t(key) : name.replaceAll('_', ' ');
}

/** What an option does; its own English words only where the page is English, or where its name is not translated either. */
export function optionDoes(method, {name, does}) {
  const key = optionKey(method, name);
  if (key && has(`${key}.does`)) return t(`${key}.does`);
  return key && state.language !== 'en' ? t(key) : does;
}

export const choiceName = name => word(`lab.choice.${name}`, name);
export const presetName = ({name}) => word(`lab.preset.${name}`, name);
export const presetDoes = ({name, does}) => word(`lab.preset.${name}.does`, does);
export const protocolName = ({name}) => word(`lab.protocol.${name}`, name);
export const protocolDoes = ({name, does}) => word(`lab.protocol.${name}.does`, does);
/** What is under way: an English word of the lab's. */
export const whatName = what => word(`lab.what.${what}`, what);
