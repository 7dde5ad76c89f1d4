/**
 * Elements of a page, made with text and never with markup: what the API says may be anybody's words.
 */

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(key, value)
  element.append(...children)
  return element
}

/** `1 problem`, `2 problems`. */
export function counted(n, what) {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}
