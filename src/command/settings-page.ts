/**
 * docs/settings.md: every key of decoymx.yaml with its default and what it does, a table for each part, made of its schema.
 */

/** @param schema - of decoymx.yaml, as JSON Schema */
export function settingsPage(schema: Schema): string {
  const parts = Object.entries(propertiesOf(schema)).map(([name, part]) => {
    const rows = keysBelow(name, part).map(
      ([path, { default: usual, description = '' }]) =>
        `| \`${path}\` | ${usual === undefined ? '' : `\`${cell(JSON.stringify(usual))}\``} | ${cell(description)} |`,
    )
    return `## ${name}\n\n| key | default | what it does |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# Settings: decoymx.yaml

Made of the code (src/settings) by \`npm run generate\`. \`deploy/decoymx.yaml\` has them with their reasons, ready to
be filled in. Defaults are those without a settings file: for trying things out on loopback.

${parts.join('\n')}`
}

type Schema = { readonly properties?: object }
type Property = Schema & { readonly default?: unknown; readonly description?: string }

function propertiesOf({ properties = {} }: Schema): Record<string, Property> {
  return properties as Record<string, Property>
}

/** The keys that hold a value, by their whole paths. */
function keysBelow(path: string, property: Property): (readonly [string, Property])[] {
  if (property.properties === undefined) return [[path, property]]
  const below = Object.entries(propertiesOf(property)).flatMap(([name, each]) => keysBelow(`${path}.${name}`, each))
  return property.description === undefined ? below : [[path, { description: property.description }], ...below]
}

const cell = (text: string) => text.replaceAll('|', '\\|')
