/**
 * An MTA-STS policy (RFC 8461, section 3.2): which MXs its owner vouches for, and how strictly.
 */
export type StsPolicy = {
  readonly mode: 'enforce' | 'testing' | 'none'
  /** Host names, or `*.example.org`, in small letters. */
  readonly mx: readonly string[]
  readonly maxAgeSeconds: number
}

/** RFC 8461, section 3.2: at most a year. Policies are a few lines long; senders cap them, too (section 3.3). */
const AGE_MAX_SECONDS = 31_557_600
export const POLICY_MAX = 65_536

/** The policy, or the sentence that says what is wrong with it. */
export function readStsPolicy(text: string): StsPolicy | string {
  if (text.length > POLICY_MAX) return `it has more than ${POLICY_MAX} bytes`
  const pairs = text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => /^([a-z0-9][a-z0-9_.-]{0,31})\s*:\s*(.*?)\s*$/i.exec(line))
  const broken = pairs.findIndex((pair) => !pair)
  if (broken >= 0) return `line ${broken + 1}: expected "key: value"`
  const all = (key: string) => pairs.filter((pair) => pair?.[1]?.toLowerCase() === key).map((pair) => pair?.[2] ?? '')
  const [version] = all('version')
  if (version !== 'STSv1')
    return `expected "version: STSv1", got ${version === undefined ? 'none' : `"${version.slice(0, 40)}"`}`
  const mode = MODES.find((each) => each === all('mode')[0])
  if (!mode) return 'expected "mode:" enforce, testing or none'
  const [age = ''] = all('max_age')
  if (!/^\d{1,10}$/.test(age) || Number(age) > AGE_MAX_SECONDS)
    return `expected "max_age:" with seconds up to ${AGE_MAX_SECONDS}`
  const mx = all('mx').map((pattern) => pattern.toLowerCase().replace(/\.$/, ''))
  const strange = mx.find((pattern) => !/^(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}$/.test(pattern))
  if (strange !== undefined) return `expected a host name or "*." before one as mx, got "${strange.slice(0, 80)}"`
  if (mx.length === 0 && mode !== 'none') return 'it names no mx'
  return { mode, mx, maxAgeSeconds: Number(age) }
}

const MODES = ['enforce', 'testing', 'none'] as const

/** Section 4.1: a wildcard stands for exactly one label. */
export function namesInPolicy({ mx }: StsPolicy, host: string): boolean {
  const parent = host.slice(host.indexOf('.') + 1)
  return mx.some((pattern) => (pattern.startsWith('*.') ? pattern.slice(2) === parent : pattern === host))
}
