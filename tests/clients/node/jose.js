// jose, unchanged: what its verifier says of access tokens in the very millisecond each was made. Reads what it needs as
// JSON from standard input, and prints the answers.
import { readFileSync } from 'node:fs'
import * as jose from 'jose'

const { issuer, audience, keys, tokens } = JSON.parse(readFileSync(0, 'utf-8'))
const find = jose.createLocalJWKSet(keys)

const seen = []
for (const { token, madeAtMs } of tokens) {
  const options = { issuer, audience, typ: 'at+jwt', maxTokenAge: 300, currentDate: new Date(madeAtMs) }
  seen.push(
    await jose.jwtVerify(token, find, options).then(
      ({ payload }) => payload.jti,
      (error) => `${error.code}: ${error.message}`,
    ),
  )
}

console.log(JSON.stringify(seen))
