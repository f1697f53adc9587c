// The least that a Worker can do: the floor of the platform.
export default { fetch: () => new Response('ok') };
