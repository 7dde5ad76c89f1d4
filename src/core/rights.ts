/**
 * Who comes in over HTTP, and what they may do: a viewer reads; an operator also says what stands, and changes the rules.
 */
export const RIGHTS = ['viewer', 'operator'] as const
export type Rights = (typeof RIGHTS)[number]

/**
 * Known by the file system (`socket`), a token, a session of the console, or, without any of these, only by a near address
 * that the settings let read (`nearby`). The name is what stands beside a word that was given.
 */
export type Visitor = {
  readonly name: string
  readonly rights: Rights
  readonly by: 'socket' | 'token' | 'session' | 'nearby'
  /** Of a session: what its own pages send along with each word. */
  readonly proof?: string
}
