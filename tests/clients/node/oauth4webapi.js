// oauth4webapi, unchanged, against a running service. Reads what it needs as JSON from standard input, and prints what
// the package made of the answers.
import { readFileSync } from 'node:fs'
import * as oauth from 'oauth4webapi'

const { issuer, clientId, clientSecret, session, method } = JSON.parse(readFileSync(0, 'utf-8'))
const authentication = { client_secret_basic: oauth.ClientSecretBasic, client_secret_post: oauth.ClientSecretPost }
const http = { [oauth.allowInsecureRequests]: true }
const refusal = (promise) =>
  promise.then(
    () => ({ error: null }),
    (error) => ({ name: error.name, error: error.error, challenge: error.cause?.[0]?.parameters?.error, status: error.status }),
  )

const url = new URL(issuer)
const found = await oauth.discoveryRequest(url, { ...http, algorithm: 'oauth2' })
const server = await oauth.processDiscoveryResponse(url, found)

const machine = { client_id: clientId }
const proof = authentication[method](clientSecret)
const grant = async (auth, scope) =>
  oauth.processClientCredentialsResponse(
    server,
    machine,
    await oauth.clientCredentialsGrantRequest(server, machine, auth, { scope }, http),
  )
const introspect = async (token) =>
  oauth.processIntrospectionResponse(
    server,
    machine,
    await oauth.introspectionRequest(server, machine, proof, token, http),
  )
const reports = (token) =>
  oauth.protectedResourceRequest(token, 'GET', new URL(`${issuer}/api/reports`), undefined, undefined, http)

const seen = { issuer: server.issuer }
const token = await grant(proof, 'reports:read')
seen.granted = { type: token.token_type, scope: token.scope, expiresIn: token.expires_in }
seen.used = (await reports(token.access_token)).status

// Another verifier reads our tokens by RFC 9068, with the keys that the metadata leads to.
const request = new Request(`${issuer}/api/reports`, { headers: { authorization: `Bearer ${token.access_token}` } })
const claims = await oauth.validateJwtAccessToken(server, request, issuer, http)
seen.claims = { sub: claims.sub, client_id: claims.client_id, scope: claims.scope }

seen.active = (await introspect(token.access_token)).active
await oauth.processRevocationResponse(await oauth.revocationRequest(server, machine, proof, token.access_token, http))
seen.activeAfterRevocation = await introspect(token.access_token)
seen.usedAfterRevocation = await refusal(reports(token.access_token))
seen.tooMuchScope = await refusal(grant(proof, 'everything'))
seen.wrongSecret = await refusal(grant(authentication[method]('wrong'), 'reports:read'))

const browser = { client_id: 'first-party' }
const refresh = async (refreshToken) =>
  oauth.processRefreshTokenResponse(
    server,
    browser,
    await oauth.refreshTokenGrantRequest(server, browser, oauth.None(), refreshToken, http),
  )
const refreshed = await refresh(session.refresh_token)
seen.rotated = refreshed.refresh_token !== session.refresh_token
seen.usedAfterRefresh = (await reports(refreshed.access_token)).status
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, browser, oauth.None(), refreshed.refresh_token, http),
)
seen.usedAfterLogout = await refusal(reports(refreshed.access_token))
seen.refreshedAfterLogout = await refusal(refresh(refreshed.refresh_token))

console.log(JSON.stringify(seen))
