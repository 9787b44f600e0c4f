// Lints an OpenAPI document with Redocly's rules and prints what they find, a problem a line.
// Arguments: the folder of the package @redocly/openapi-core, the document.
import { pathToFileURL } from 'node:url'
import path from 'node:path'

const [, , library, document] = process.argv
const { createConfig, lint } = await import(pathToFileURL(path.join(library, 'lib', 'index.js')))

// This code is that of methods which no path has, so no operation refers to it.
const expected = new Set(['no-unused-components #/components/examples/METHOD_NOT_ALLOWED'])

const config = await createConfig({
  extends: ['recommended-strict'],
  rules: {
    'no-invalid-schema-examples': 'error',
    'no-invalid-media-type-examples': { severity: 'error', allowAdditionalProperties: false },
    'no-invalid-parameter-examples': 'error',
    'operation-description': 'error',
    'parameter-description': 'error',
    'tag-description': 'error',
    'no-ambiguous-paths': 'off', // {id} is a UUID, so /timestamps/batch is none
    'response-contains-header': { severity: 'error', names: { '200': ['X-Request-Id'], '201': ['X-Request-Id'], '202': ['X-Request-Id'], '204': ['X-Request-Id'], '4XX': ['X-Request-Id'], '5XX': ['X-Request-Id'] } }
  }
})
const problems = (await lint({ ref: document, config }))
  .map(p => ({ rule: p.ruleId, message: p.message, pointer: p.location[0]?.pointer ?? '' }))
  .filter(p => !p.pointer.startsWith('#/webhooks/') || p.rule !== 'response-contains-header') // their answers are not ours
  .filter(p => !expected.has(`${p.rule} ${p.pointer}`))
for (const p of problems) console.log(`${p.rule} ${p.pointer}: ${p.message}`)
console.log(`${problems.length} problems`)
