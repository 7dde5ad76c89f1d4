/**
 * Elements of a page, made with text and never with markup: what the API says may be anybody's words.
 */

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(key, value)
  element.append(...children)
  return element
}

/** Each command in it as it is typed on the host: the same as the server's asTyped (called.ts), for what comes as JSON. */
export function asTyped(text) {
  const { called, commands } = document.body.dataset
  return text.replace(new RegExp(`(?<!npx |[\\w./-])decoymx (?=(?:${commands})\\b(?!-))`, 'g'), `${called} `)
}

/** `1 problem`, `2 problems`. */
export function counted(n, what) {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}
