// What methods, options and choices are called: in the person's language where we have a word, else as the method itself says.
import {has, t} from '../../i18n.js';

const word = (key, otherwise) => has(key) ? t(key) : otherwise;

export const methodName = ({name}) => word(`lab.method.${name}`, name);
export const methodDoes = ({name, does}) => word(`lab.method.${name}.does`, does);
export const optionName = (method, {name}) => word(`lab.option.${method}.${name}`, word(`lab.option.${name}`, name.replaceAll('_', ' ')));
export const optionDoes = (method, {name, does}) => word(`lab.option.${method}.${name}.does`, does);
export const choiceName = name => word(`lab.choice.${name}`, name);
export const presetName = ({name}) => word(`lab.preset.${name}`, name);
export const presetDoes = ({name, does}) => word(`lab.preset.${name}.does`, does);
export const protocolName = ({name}) => word(`lab.protocol.${name}`, name);
export const protocolDoes = ({name, does}) => word(`lab.protocol.${name}.does`, does);
/** What is under way: an English word of the lab's. */
export const whatName = what => word(`lab.what.${what}`, what);
