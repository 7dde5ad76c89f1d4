/**
 * What was promised about a domain's mail elsewhere, and what decoys do to it: DANE, MTA-STS, SPF, the standing of mail that it
 * sends; and what a stranger meets at port 25, where somebody went to knock.
 */
import { type Finding, found } from './dangers.ts'
import { roleAt } from './mx.ts'
import { namesInPolicy } from './sts.ts'
import type { Knock, Survey } from './survey.ts'

/** RFC 7208, section 4.6.4. */
const SPF_MX_MAX = 10

export const promises: readonly ((survey: Survey) => Finding[])[] = [dane, sts, spf, standing, knocks]

type Exchange = { readonly name: string; readonly role: 'primary' | 'real' | 'backup' }

function exchanges({ layout }: Survey): Exchange[] {
  return [...new Set(layout.mx.map(({ exchange }) => exchange))]
    .filter((name) => name !== '.')
    .map((name) => ({ name, role: roleAt(layout, name) }))
}

function dane(survey: Survey): Finding[] {
  const all = exchanges(survey).map((each) => ({ ...each, tlsa: survey.hosts.get(each.name)?.tlsa }))
  const real = all.find(({ role, tlsa }) => role === 'real' && tlsa)
  if (!real) return []
  return all
    .filter(({ role, tlsa }) => role !== 'real' && tlsa === false)
    .map(({ name }) => found('TL01', name, `${real.name} has TLSA records, _25._tcp.${name} has none`))
}

function sts(survey: Survey): Finding[] {
  const policy = survey.sts
  if (!policy) return []
  if (policy === 'not looked at') return [found('TL06', survey.layout.domain, 'the TXT record at _mta-sts says so')]
  if ('unreadable' in policy) return [found('TL05', survey.layout.domain, policy.unreadable)]
  if (policy.mode === 'none') return []
  return exchanges(survey).flatMap(({ name, role }) => {
    const inside = namesInPolicy(policy, name)
    if (role === 'real') {
      const level = policy.mode === 'enforce' ? 'error' : 'warning'
      return inside ? [] : [found('TL02', name, `mode ${policy.mode}; mx: ${policy.mx.join(', ')}`, { level })]
    }
    return [found(inside ? 'TL04' : 'TL03', name, `mode ${policy.mode}; mx: ${policy.mx.join(', ')}`)]
  })
}

function spf(survey: Survey): Finding[] {
  const { spf: read, layout } = survey
  if (!read) return []
  const { domain } = layout
  const terms = read.record.toLowerCase().split(/\s+/)
  const mx = terms.find((term) => [`mx`, `mx:${domain}`].includes(term.replace(/^\+/, '').replace(/\/.*$/, '')))
  const findings: Finding[] = []
  const all = exchanges(survey)
  if (mx !== undefined && all.length > SPF_MX_MAX)
    findings.push(found('SP02', domain, `"${mx}", and ${all.length} MX names`))
  else if (read.wrong !== undefined) findings.push(found('SP03', domain, read.wrong))
  const decoys = all.filter(({ role }) => role !== 'real').map(({ name }) => name)
  if (mx !== undefined && decoys.length > 0)
    findings.push(found('SP01', domain, `"${mx}" in the SPF record names ${decoys.join(' and ')}, too`))
  return findings
}

function standing(survey: Survey): Finding[] {
  const primary = exchanges(survey).find(({ role }) => role === 'primary')
  return primary ? [found('ST01', primary.name, 'it refuses whoever calls, which is what it is for')] : []
}

function knocks(survey: Survey): Finding[] {
  const { knocks: all, layout } = survey
  if (!all) return []
  return exchanges(survey).flatMap(({ name, role }) => {
    const own = (layout.addresses.get(name) ?? []).flatMap((address) => {
      const knock = all.get(address)
      return knock ? [{ address, ...knock }] : []
    })
    if (role === 'primary') return own.flatMap((knock) => primaryKnock(name, knock))
    if (role === 'backup') return own.flatMap((knock) => backupKnock(name, knock))
    const bad = own.filter(({ outcome }) => outcome !== 'takes mail' && outcome !== 'turns away')
    const code = bad.length === own.length ? 'PR06' : 'PR07'
    return bad.map((knock) => found(code, name, told(knock)))
  })
}

type Knocked = Knock & { readonly address: string }

function primaryKnock(name: string, knock: Knocked): Finding[] {
  if (knock.outcome === 'refused') return []
  if (knock.outcome === 'reset') return [found('PR03', name, told(knock))]
  if (knock.outcome === 'silent') return [found('PR02', name, told(knock))]
  if (knock.outcome === 'unreachable') return [found('PR02', name, told(knock), { level: 'warning' })]
  return [found('PR01', name, told(knock))]
}

function backupKnock(name: string, knock: Knocked): Finding[] {
  if (knock.outcome === 'put off') return []
  if (knock.outcome === 'takes mail' || knock.outcome === 'turns away') return [found('PR04', name, told(knock))]
  return [found('PR05', name, told(knock))]
}

function told({ address, because }: Knocked): string {
  return `${address}: ${because}`
}
