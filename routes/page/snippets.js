/**
 * The current request as code that runs elsewhere: a shell command and a JavaScript module.
 *
 * Pure: request in, text out. The key is never in it, only the name of a variable that holds it.
 */

/**
 * One word for a POSIX shell, whatever the text holds.
 *
 * @param {string} text
 */
function shellWord(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * @param {string} url
 * @param {object} body
 * @param {boolean} withKey
 */
export function curlOf(url, body, withKey) {
  return [
    `curl ${shellWord(url)}`,
    ...(withKey ? [`-H "Authorization: Bearer $CLAIRON_KEY"`] : []),
    `-H 'Content-Type: application/json'`,
    `-d ${shellWord(JSON.stringify(body, null, 2))}`,
  ].join(" \\\n  ");
}

/**
 * Runs in Node, in Deno and, without a key, in a browser.
 *
 * @param {string} url
 * @param {object} body
 * @param {boolean} withKey
 */
export function javascriptOf(url, body, withKey) {
  const key = withKey ? "\n    authorization: `Bearer ${process.env.CLAIRON_KEY}`," : "";
  return `const response = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: {
    "content-type": "application/json",${key}
  },
  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll("\n", "\n  ")}),
});
const { turns, error } = await response.json();
if (error) throw new Error(error);
for (const { speaker, text } of turns) console.log(\`\${speaker} : \${text}\`);
`;
}
