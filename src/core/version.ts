/** Version of inox, the same as in package.json (a test compares them). */
export const inoxVersion = '0.1.0';
