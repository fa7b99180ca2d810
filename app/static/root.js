/** The path under which the service is reached, without a slash at its end: empty, or that of its issuer. */
export const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
