// Text modules: wrangler.toml's rule for *.yaml.
declare module '*.yaml' {
  const text: string;
  export default text;
}
