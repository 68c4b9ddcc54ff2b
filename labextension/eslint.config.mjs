import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules", "lib"] },
  ...tseslint.configs.strictTypeChecked.map((each) => ({
    ...each,
    files: ["src/**/*.{ts,tsx}", "tests/**/*.{ts,tsx}"],
  })),
  {
    files: ["src/**/*.{ts,tsx}", "tests/**/*.{ts,tsx}"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "no-console": "error",
      eqeqeq: "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
);
