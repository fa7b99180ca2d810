// openid-client, unchanged, against a running service. Reads what it needs as JSON from standard input, and prints
// what the package made of the answers.
import { readFileSync } from 'node:fs'
import * as openid from 'openid-client'

const { issuer, clientId, clientSecret, session, method } = JSON.parse(readFileSync(0, 'utf-8'))
const authentication = { client_secret_basic: openid.ClientSecretBasic, client_secret_post: openid.ClientSecretPost }
const discover = (id, auth) =>
  openid.discovery(new URL(issuer), id, undefined, auth, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
  })
const reports = (config, token) => openid.fetchProtectedResource(config, token, new URL(`${issuer}/api/reports`), 'GET')
const refusal = (promise) =>
  promise.then(
    () => ({ error: null }),
    (error) => ({ name: error.name, error: error.error, challenge: error.cause?.[0]?.parameters?.error, status: error.status }),
  )

const seen = {}

const machine = await discover(clientId, authentication[method](clientSecret))
seen.issuer = machine.serverMetadata().issuer
const token = await openid.clientCredentialsGrant(machine, { scope: 'reports:read' })
seen.granted = { type: token.token_type, scope: token.scope, expiresIn: token.expiresIn() }
seen.used = (await reports(machine, token.access_token)).status
seen.active = (await openid.tokenIntrospection(machine, token.access_token)).active
await openid.tokenRevocation(machine, token.access_token, { token_type_hint: 'access_token' })
seen.activeAfterRevocation = await openid.tokenIntrospection(machine, token.access_token)
seen.usedAfterRevocation = await refusal(reports(machine, token.access_token))
seen.tooMuchScope = await refusal(openid.clientCredentialsGrant(machine, { scope: 'everything' }))

const wrong = await discover(clientId, authentication[method]('wrong'))
seen.wrongSecret = await refusal(openid.clientCredentialsGrant(wrong))

const browser = await discover('first-party', openid.None())
const refreshed = await openid.refreshTokenGrant(browser, session.refresh_token)
seen.rotated = refreshed.refresh_token !== session.refresh_token
seen.usedAfterRefresh = (await reports(browser, refreshed.access_token)).status
await openid.tokenRevocation(browser, refreshed.refresh_token, { token_type_hint: 'refresh_token' })
seen.usedAfterLogout = await refusal(reports(browser, refreshed.access_token))
seen.refreshedAfterLogout = await refusal(openid.refreshTokenGrant(browser, refreshed.refresh_token))

console.log(JSON.stringify(seen))
