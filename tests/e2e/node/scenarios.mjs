// What a test wants the official npm client to do, by name:
//
//   DATAGRID_BASE_URL=… DATAGRID_API_KEY=… node scenarios.mjs credits
//
// prints one line of JSON: what came of it (`result`, or the `error` that the client threw) and every
// answer that the client saw, retries included (`traffic`). What is right is for the test to say.

import Datagrid from 'datagrid-ai';
import fetch from 'node-fetch';

const USAGE = '/organization/credits/usage';
const traffic = [];

async function fetchOnRecord(url, init) {
  const sent = performance.now();
  const response = await fetch(url, init);
  traffic.push({
    method: init.method,
    status: response.status,
    retry: init.headers['x-stainless-retry-count'],
    headers: Object.fromEntries(response.headers),
    sent_ms: sent,
    answered_ms: performance.now(),
  });
  return response;
}

const book = (client, id, credits) => client.post(USAGE, { body: { id, credits } });

const SCENARIOS = {
  credits: (client) => client.organization.credits.get(),

  async spend(client) {
    await book(client, 'evt-1', 0.1);
    await book(client, 'evt-2', 0.2);
    return client.organization.credits.get();
  },

  identity: (client) => client.identity.retrieve(),

  async teamspaces(client) {
    const { teamspaces } = client.organization;
    const made = await teamspaces.create({ name: 'Research', access: 'closed', cloud_provider: 'aws' });
    const changed = await teamspaces.patch(made.id, { name: 'Development', access: 'open' });
    return { made, changed, retrieved: await teamspaces.retrieve(made.id) };
  },

  async pages(client) {
    const made = [];
    for (let number = 0; number < 5; number += 1) {
      const teamspace = await client.organization.teamspaces.create({
        name: `Number ${number}`,
        access: 'open',
      });
      made.push(teamspace.id);
    }
    traffic.length = 0;
    const listed = [];
    for await (const teamspace of client.organization.teamspaces.list({ limit: 2 })) {
      listed.push(teamspace.id);
    }
    return { made, listed };
  },

  no_authentication: (client) => client.organization.credits.get(),

  credit_exceeded: (client) => book(client, 'evt-1', 11),

  permission_denied: (client) => client.organization.teamspaces.create({ name: 'Mine', access: 'open' }),

  resource_not_found: (client) => client.organization.teamspaces.retrieve('ts_nowhere'),

  async conflict(client) {
    await book(client, 'evt-1', 1);
    await book(client, 'evt-1', 2);
  },

  validation_failed: (client) => book(client, 'evt-1', -1),

  async full_window(client) {
    return [await client.organization.credits.get(), await client.organization.credits.get()];
  },

  async full_window_without_retries(client) {
    const impatient = { maxRetries: 0 };
    await client.organization.credits.get(impatient);
    await client.organization.credits.get(impatient);
  },
};

const client = new Datagrid({ fetch: fetchOnRecord });
const outcome = await SCENARIOS[process.argv[2]](client).then(
  (result) => ({ result }),
  (error) => ({ error: { name: error.constructor.name, status: error.status, body: error.error } }),
);
console.log(JSON.stringify({ ...outcome, traffic }));
