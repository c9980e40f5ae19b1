/** @type {import("@graphql-codegen/cli").CodegenConfig} */
const config = {
  schema: "schema.graphql",
  documents: "src/**/*.tsx",
  generates: { "src/gql/": { preset: "client" } },
  config: {
    scalars: { DateTime: "string", Points: "number", SignedPoints: "number" },
    strictScalars: true,
  },
};
export default config;
