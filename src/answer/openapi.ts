/**
 * The OpenAPI 3.1 document of the HTTP API, made of the table that requests are checked against (routes.ts).
 */
import { z } from 'zod'
import { ROUTES, type Route } from './routes.ts'
import {
  clientSchema,
  evidenceSchema,
  mistakeSchema,
  readySchema,
  reloadSchema,
  rulingSchema,
  spokenSchema,
  statusSchema,
  ticketSchema,
  waitingSchema,
  wordSchema,
} from './views.ts'

const NAMED = {
  Client: clientSchema,
  Decision: rulingSchema,
  Evidence: evidenceSchema,
  Mistake: mistakeSchema,
  Ready: readySchema,
  Reload: reloadSchema,
  Spoken: spokenSchema,
  Status: statusSchema,
  Ticket: ticketSchema,
  Waiting: waitingSchema,
  Word: wordSchema,
} as const

/** What any route can answer, with a Mistake. */
const REFUSALS = {
  400: 'Not what this route takes; the answer says where, what was expected and what came',
  401: 'Nobody we know: send Authorization: Bearer TOKEN, or log in',
  403: 'Known, but not allowed to do this; or sent by the page of another site',
  413: 'The body is too large',
  415: 'The body is not application/json',
  500: 'A bug of ours',
} as const

export function openApiDocument(version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const [id, route] of Object.entries<Route>(ROUTES))
    (paths[route.path.replace(/:(\w+)/g, '{$1}')] ??= {})[route.method] = operationOf(id, route)
  return {
    openapi: '3.1.1',
    info: {
      title: 'decoymx',
      version,
      description:
        'What decoys have seen, what was concluded, and the word of the operator. The socket in the state directory needs no token; over TCP, addresses in http.readers may read without one, and nobody may write without one.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'Where this document came from' }],
    security: [{ token: [] }, {}],
    paths,
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } }, schemas: components() },
  }
}

function operationOf(id: string, route: Route): object {
  const params = Object.entries(route.params ?? {}).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }))
  const query = Object.entries<z.ZodType>(route.query?.shape ?? {}).map(([name, schema]) => {
    const { description, ...rest } = inputOf(schema)
    return { name, in: 'query', required: false, description, schema: rest }
  })
  const headers = Object.entries(route.headers ?? {}).map(([name, description]) => ({
    name,
    in: 'header',
    required: true,
    description,
    schema: TEXT,
  }))
  const parameters = [...params, ...query, ...headers]
  const refusals = Object.entries(REFUSALS).filter(([status]) => route.body || (status !== '413' && status !== '415'))
  const answers = Object.entries(route.answers).map(([status, { what, schema, type }]) => {
    const known = schema ?? (Number(status) >= 400 ? mistakeSchema : undefined)
    const media = known
      ? { 'application/json': { schema: outputOf(known) } }
      : type
        ? { [type]: { schema: TEXT } }
        : undefined
    return [status, { description: what, ...(media ? { content: media } : {}) }] as const
  })
  return {
    operationId: id,
    summary: route.summary,
    'x-rights': route.rights,
    ...(route.rights === 'operator' ? { security: [{ token: [] }] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: {
            required: !route.body.safeParse(undefined).success,
            content: { 'application/json': { schema: inputOf(route.body) } },
          },
        }
      : {}),
    responses: {
      ...Object.fromEntries(
        refusals.map(([status, description]) => [
          status,
          { description, content: { 'application/json': { schema: outputOf(mistakeSchema) } } },
        ]),
      ),
      ...Object.fromEntries(answers),
    },
  }
}

const TEXT = { type: 'string' }

function inputOf(schema: z.ZodType): Record<string, unknown> {
  return without(z.toJSONSchema(schema, { io: 'input' }), '$schema')
}

/** Named schemas are said once, and referred to. */
function outputOf(schema: z.ZodType): object {
  const made = without(z.toJSONSchema(schema, { metadata: names }), '$schema', '$defs')
  return JSON.parse(JSON.stringify(made).replaceAll('#/$defs/', COMPONENTS)) as object
}

function components(): Record<string, object> {
  const { schemas } = z.toJSONSchema(names, { uri: (id) => `${COMPONENTS}${id}` })
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, without(schema, '$schema', '$id')]))
}

function without(schema: object, ...keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)))
}

const COMPONENTS = '#/components/schemas/'

const names = z.registry<{ id: string }>()
for (const [id, schema] of Object.entries(NAMED)) names.add(schema, { id })
