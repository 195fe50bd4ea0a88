// Answers the cases of differential.rs, one JSON line each, with Segment's own packages.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

// Their ES modules import without file extensions, which Node refuses; their CommonJS builds load.
const require = createRequire(import.meta.url)
const subscriptions = require('@segment/destination-subscriptions')
const mappingKit = require('@segment/actions-core/mapping-kit')

const answer = {
  parse: ({ text }) => {
    const tree = subscriptions.parseFql(text)
    if (tree.error) throw tree.error
    return tree
  },
  validate: ({ tree, events }) => events.map((event) => subscriptions.validate(tree, event)),
  map: ({ mapping, event }) => mappingKit.transform(mapping, event)
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line)
  let reply
  try {
    reply = { ok: answer[question.kind](question) }
  } catch (error) {
    reply = { error: String(error.message) }
  }
  console.log(JSON.stringify(reply))
}
