/**
 * Examples of documents and of comments, made into tests.
 *
 *   expression; // [1, 2]                      the comment is the value, which is compared
 *   expression; // BigInt64Array [1n, 2n]      the same, as a typed array
 *   anything;   // other words                 a comment
 */

/** The blocks of a language in a document, each with its line. */
export function blocksIn(text: string, language: string): { line: number; code: string }[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map((match) => ({
    line: text.slice(0, match.index).split('\n').length + 1,
    code: match[1],
  }));
}

const VALUE = String.raw`(?:\w+Array )?(?:\[.*\]|\{.*\}|'[^']*'|-?[\d.]+|true|false)`;
const COMPARED = new RegExp(String.raw`^( *)(.*?); \/\/ (${VALUE})$`, 'gm');
/** A sign that is no part of ==, !=, <=, >= or =>. */
const ASSIGNS = /(?<![=!<>])=(?![=>])/;

/** The code in which each `expression; // value` is a call of `equal`. A statement with a value is a syntax error. */
export function compared(code: string): string {
  return code.replace(COMPARED, (line, indent: string, expression: string, value: string) => {
    if (ASSIGNS.test(expression)) return line;
    return `${indent}equal(${expression}, ${value.replace(/(\w+Array) (\[.*?\])/g, '$1.from($2)')});`;
  });
}
